//! Contract suites: what every implementation of a port must do. Each test is a function of the port; `store_contract!` makes tests of them.
#![expect(clippy::unwrap_used, reason = "a test panics when what it tests fails")]
pub mod age;
pub mod as_of;
pub mod balances;
pub mod checkpoints;
pub mod claims;
pub mod directory;
pub mod expected;
pub mod feed;
pub mod given;
pub mod lives;
pub mod log;
pub mod people;
pub mod race;
pub mod slots;
pub mod streams;

/// Runs the store's whole suite. `$make` is an async expression of `(Arc<S>, guard)` for a new, empty store, where `S` implements
/// `EventStore`, `KeyStore`, `ShopStore`, `PersonKeys` and `AgeClaims`; the guard is held to the test's end.
#[macro_export]
macro_rules! store_contract {
    ($make:expr) => {
        $crate::store_contract!(@tests $make;
            streams: an_append_is_read_back_as_it_was_given,
            streams: positions_follow_the_rank_and_then_the_order_given,
            streams: a_stream_that_is_not_as_expected_is_a_conflict,
            streams: a_stream_that_is_only_read_must_be_as_expected,
            streams: any_version_is_taken_where_any_is_expected,
            streams: what_is_malformed_is_refused_and_writes_nothing,
            streams: the_same_command_again_answers_what_was_written_first,
            streams: a_command_that_was_written_elsewhere_is_a_conflict_all_the_same,
            streams: two_thousand_streams_fit_into_one_append,
            streams: the_streams_of_many_ids_are_read_at_once_each_as_alone,
            expected: no_stream_is_taken_where_there_is_none_and_is_a_conflict_where_there_is,
            expected: streams_that_are_only_read_must_be_as_expected_though_no_event_is_written,
            expected: of_several_things_in_its_way_an_append_hears_the_first_in_a_set_order,
            claims: a_claim_is_taken_once_and_says_who_holds_it,
            claims: a_refused_append_takes_no_claim,
            claims: of_a_hundred_at_once_one_gets_the_claim,
            claims: an_append_without_events_can_claim,
            claims: a_claim_for_a_day_is_held_that_day_and_the_next_and_then_taken_again,
            claims: a_claim_for_ever_outlives_the_days,
            claims: of_a_hundred_at_once_one_gets_the_claim_for_a_day,
            claims: one_append_can_claim_for_ever_and_for_a_day,
            balances: a_change_below_the_floor_is_refused_and_changes_nothing,
            balances: the_changes_of_one_account_in_an_append_count_together,
            balances: balances_are_listed_by_prefix_and_in_pages,
            balances: a_scarce_account_is_sold_out_exactly,
            balances: an_overflow_fails_the_one_who_causes_it,
            checkpoints: a_checkpoint_moves_only_from_where_it_is,
            checkpoints: a_checkpoint_only_goes_forward,
            checkpoints: a_checkpoint_and_its_events_are_written_all_or_nothing,
            checkpoints: a_checkpoint_is_moved_only_under_the_epoch_of_its_owner,
            checkpoints: of_owners_who_race_for_a_checkpoint_one_gets_each_move,
            checkpoints: a_checkpoint_alone_recognises_its_append,
            slots: a_timer_is_set_moved_and_cleared,
            slots: many_timers_are_moved_at_once_and_those_that_are_gone_stay_gone,
            slots: a_move_does_not_undo_what_an_append_has_set_since,
            slots: timers_come_by_slot_soonest_first_and_in_pages,
            slots: a_lease_is_held_until_it_expires_or_is_released,
            slots: an_owner_is_there_until_it_departs_or_says_nothing_more,
            slots: the_epoch_rises_with_the_owner_and_fences_the_one_before,
            slots: sealed_data_is_kept_by_subject,
            log: positions_are_dense_under_many_who_append_conflict_and_are_refused,
            log: the_time_of_record_never_goes_back,
            log: the_watch_knows_of_an_append_before_its_answer,
            as_of: a_stream_and_the_log_are_read_as_of_a_position,
            as_of: an_instant_is_the_last_position_recorded_by_then,
            as_of: before_the_first_event_there_was_nothing,
            as_of: a_position_beyond_the_head_is_refused_and_a_time_to_come_is_the_head,
            as_of: an_instant_is_found_while_others_append,
            directory: a_key_stands_for_its_role_until_it_is_revoked,
            directory: a_shop_is_made_once,
            people: a_sealed_entry_opens_until_its_person_is_erased,
            people: an_entry_opens_only_under_its_master_key_and_for_its_subject,
            people: who_parted_from_a_ref_leaves_it_to_someone_new_and_is_read_as_before,
            people: what_is_sealed_of_a_person_is_found_and_what_waits_among_it,
            people: a_new_master_key_takes_over_while_others_go_on,
            people: bodies_compare_the_same_under_every_master_key,
            people: an_interrupted_rotation_goes_on_and_undoes_no_erasure,
            people: a_master_key_that_does_not_fit_is_refused_in_plain_words,
        );
        $crate::feed_contract!(async {
            let (store, guard) = $make.await;
            (store.clone(), Box::new($crate::StoreFeed::new(store, $crate::Position::ZERO)) as Box<dyn $crate::EventFeed>, guard)
        });
    };
    (@tests $make:expr; $($module:ident: $name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, _guard) = $make.await;
                $crate::contract::$module::$name(store).await;
            }
        )+
    };
}

/// Runs the feed's suite. `$make` is an async expression of `(Arc<impl EventStore + 'static>, Box<dyn EventFeed>, guard)`: an empty store and a feed
/// that begins before its first event.
#[macro_export]
macro_rules! feed_contract {
    ($make:expr) => {
        $crate::feed_contract!(@tests $make;
            a_feed_answers_each_event_once_and_in_order,
            a_feed_waits_for_the_next_event,
            a_feed_that_is_dropped_while_it_waits_loses_nothing,
            a_feed_keeps_up_with_many_who_append,
        );
    };
    (@tests $make:expr; $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, feed, _guard) = $make.await;
                $crate::contract::feed::$name(store, feed).await;
            }
        )+
    };
}
