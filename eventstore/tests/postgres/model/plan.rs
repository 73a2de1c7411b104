//! What is asked for, in small numbers, so that commands meet each other often.
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Append(Plan),
    /// One of before, under its command id.
    Repeat(Index),
    TakeLease {
        owner: usize,
        slot: u8,
    },
    Release {
        owner: usize,
    },
    MoveTimer {
        stream: usize,
        name: usize,
        due: i64,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Id, kind, what is expected, how many events.
    pub(super) streams: Vec<(usize, usize, Expect, usize)>,
    /// Key, and whether for a day.
    pub(super) claims: Vec<(usize, bool)>,
    pub(super) balances: Vec<(usize, i64, Option<i64>)>,
    /// Stream, name, when due; cleared without.
    pub(super) timers: Vec<(usize, usize, Option<i64>)>,
    /// Subject, person.
    pub(super) vault: Vec<(usize, u128)>,
    /// Slot, and how far from the epoch that holds.
    pub(super) fence: Option<(u8, i64)>,
    /// Name, whether from where it is, how far on.
    pub(super) checkpoint: Option<(usize, bool, i64)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    Known,
    /// So much beside what is known.
    Off(i32),
    NoStream,
    Any,
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        6 => Just(Expect::Known),
        1 => (-1..2_i32).prop_map(Expect::Off),
        1 => Just(Expect::NoStream),
        2 => Just(Expect::Any),
    ]
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let streams = vec((0..4_usize, 0..2_usize, expect(), 0..3_usize), 0..4);
    let claims = vec((0..6_usize, any::<bool>()), 0..3);
    let balances = vec((0..3_usize, -4..5_i64, option::of(-2..1_i64)), 0..3);
    let timers = vec((0..4_usize, 0..2_usize, option::of(0..1_000_i64)), 0..2);
    let vault = vec((0..3_usize, 0..3_u128), 0..2);
    let fence = option::weighted(0.2, (0..2_u8, prop_oneof![4 => Just(0), 1 => -1..2_i64]));
    let checkpoint = option::weighted(0.3, (0..2_usize, proptest::bool::weighted(0.8), 1..5_i64));
    (streams, claims, balances, timers, vault, fence, checkpoint).prop_map(
        |(streams, claims, balances, timers, vault, fence, checkpoint)| Plan {
            streams,
            claims,
            balances,
            timers,
            vault,
            fence,
            checkpoint,
        },
    )
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => plan().prop_map(Op::Append),
        2 => any::<Index>().prop_map(Op::Repeat),
        1 => (0..2_usize, 0..2_u8).prop_map(|(owner, slot)| Op::TakeLease { owner, slot }),
        1 => (0..2_usize).prop_map(|owner| Op::Release { owner }),
        1 => (0..4_usize, 0..2_usize, 0..1_000_i64).prop_map(|(stream, name, due)| Op::MoveTimer { stream, name, due }),
    ]
}
