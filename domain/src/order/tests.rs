//! The rules of an order, one sentence each.
use super::{
    CancelReason, CancelRequested, Charge, ChargeKind, Command, CustomerErased, Order, OrderCancelled, OrderCompleted,
    OrderEvent, Rejection, ReservationRefused, Shortage, StockReleased, StockReserved,
};
use crate::{
    Amount,
    testing::{given, reservations, two_lines},
};
use proptest::prelude::*;
use uuid::Uuid;

fn a_placed_order() -> Vec<OrderEvent> {
    vec![two_lines().into()]
}

fn a_reserved_order() -> Vec<OrderEvent> {
    [a_placed_order(), vec![reserved()]].concat()
}

fn a_completed_order() -> Vec<OrderEvent> {
    [a_reserved_order(), vec![OrderCompleted {}.into()]].concat()
}

fn a_cancelled_order() -> Vec<OrderEvent> {
    [a_placed_order(), vec![cancelled()]].concat()
}

fn reserved() -> OrderEvent {
    StockReserved { lines: reservations(&two_lines()) }.into()
}

fn cancelled() -> OrderEvent {
    OrderCancelled { reason: CancelReason::Requested }.into()
}

fn shortage() -> Vec<Shortage> {
    vec![Shortage { sku: "820165".into(), location: "main".into(), wanted: 2, available: 1 }]
}

fn request_cancel(shipped: bool) -> Command {
    Command::RequestCancel { note_id: None, shipped }
}

fn decide(events: &[OrderEvent], command: Command) -> Result<Vec<OrderEvent>, Rejection> {
    given::<Order>(events, command)
}

#[test]
fn an_order_is_placed_once() {
    let place = Command::Place(Box::new(two_lines()));
    assert_eq!(decide(&[], place.clone()), Ok(a_placed_order()));
    assert_eq!(decide(&a_placed_order(), place), Err(Rejection::AlreadyPlaced));
}

#[test]
fn nothing_can_be_asked_of_an_order_that_is_not_placed() {
    for command in [request_cancel(false), Command::ReleaseStock, Command::Complete] {
        assert_eq!(decide(&[], command), Err(Rejection::NotPlaced));
    }
}

#[test]
fn a_cancel_asked_for_twice_is_recorded_once() {
    let asked = vec![CancelRequested { note_id: None }.into()];
    assert_eq!(decide(&a_placed_order(), request_cancel(false)), Ok(asked.clone()));
    assert_eq!(decide(&[a_placed_order(), asked].concat(), request_cancel(false)), Ok(vec![]));
    assert_eq!(decide(&a_cancelled_order(), request_cancel(false)), Ok(vec![]));
}

#[test]
fn a_shipped_order_rejects_cancellation() {
    assert_eq!(decide(&a_reserved_order(), request_cancel(true)), Err(Rejection::AlreadyShipped));
    assert_eq!(decide(&a_completed_order(), request_cancel(false)), Err(Rejection::AlreadyShipped));
}

#[test]
fn stock_is_reserved_once() {
    let reserve = Command::RecordReservation { lines: reservations(&two_lines()) };
    assert_eq!(decide(&a_placed_order(), reserve.clone()), Ok(vec![reserved()]));
    assert_eq!(decide(&a_reserved_order(), reserve.clone()), Ok(vec![]));
    let other = Command::RecordReservation { lines: vec![] };
    assert_eq!(decide(&a_reserved_order(), other), Err(Rejection::OutOfPlace("RecordReservation")));
    assert_eq!(decide(&a_cancelled_order(), reserve), Err(Rejection::OutOfPlace("RecordReservation")));
}

#[test]
fn a_shortage_is_recorded_once_and_never_beside_a_reservation() {
    let refused: OrderEvent = ReservationRefused { shortages: shortage() }.into();
    let refuse = Command::RecordShortage { shortages: shortage() };
    assert_eq!(decide(&a_placed_order(), refuse.clone()), Ok(vec![refused.clone()]));
    assert_eq!(decide(&[a_placed_order(), vec![refused]].concat(), refuse.clone()), Ok(vec![]));
    assert_eq!(decide(&a_reserved_order(), refuse), Err(Rejection::OutOfPlace("RecordShortage")));
}

#[test]
fn what_was_reserved_is_released_once_line_by_line() {
    let released: OrderEvent = StockReleased { lines: reservations(&two_lines()) }.into();
    assert_eq!(decide(&a_reserved_order(), Command::ReleaseStock), Ok(vec![released.clone()]));
    assert_eq!(decide(&[a_reserved_order(), vec![released]].concat(), Command::ReleaseStock), Ok(vec![]));
    assert_eq!(decide(&a_placed_order(), Command::ReleaseStock), Ok(vec![]));
    assert_eq!(decide(&a_completed_order(), Command::ReleaseStock), Ok(vec![]), "what has left is not free again");
}

#[test]
fn an_order_with_stock_set_aside_is_not_cancelled_before_that_is_released() {
    let cancel = Command::Cancel { reason: CancelReason::Requested };
    assert_eq!(decide(&a_reserved_order(), cancel.clone()), Err(Rejection::OutOfPlace("Cancel")));
    assert_eq!(decide(&a_placed_order(), cancel), Ok(vec![cancelled()]));
}

#[test]
fn an_order_ends_once_and_in_one_way() {
    let cancel = Command::Cancel { reason: CancelReason::Requested };
    assert_eq!(decide(&a_cancelled_order(), cancel.clone()), Ok(vec![]));
    assert_eq!(decide(&a_cancelled_order(), Command::Complete), Err(Rejection::OutOfPlace("Complete")));
    assert_eq!(decide(&a_completed_order(), Command::Complete), Ok(vec![]));
    assert_eq!(decide(&a_completed_order(), cancel), Err(Rejection::OutOfPlace("Cancel")));
}

#[test]
fn an_order_without_stock_is_not_completed() {
    assert_eq!(decide(&a_placed_order(), Command::Complete), Err(Rejection::OutOfPlace("Complete")));
}

#[test]
fn an_order_s_customer_is_erased_once_and_only_after_its_end() {
    let erase = Command::RecordErasure { person_id: Uuid::max() };
    let erased: OrderEvent = CustomerErased { person_id: Uuid::max() }.into();
    assert_eq!(decide(&a_reserved_order(), erase.clone()), Err(Rejection::OutOfPlace("RecordErasure")));
    for ended in [a_completed_order(), a_cancelled_order()] {
        assert_eq!(decide(&ended, erase.clone()), Ok(vec![erased.clone()]));
        let after = [ended, vec![erased.clone()]].concat();
        assert_eq!(decide(&after, erase.clone()), Ok(vec![]));
        assert_ne!(decide(&after, request_cancel(false)), Err(Rejection::NotPlaced), "the rest is as it was");
    }
}

fn a_charge() -> impl Strategy<Value = Charge> {
    use ChargeKind::{Discount, Fee, GiftCard, Shipping, Tax};
    let kind = prop::sample::select(vec![Shipping, Tax, Fee, Discount, GiftCard]);
    (kind, 0..1_000_000_i64).prop_map(|(kind, amount)| Charge {
        charge_id: 1,
        kind,
        amount: Amount(amount),
        line_id: None,
    })
}

proptest! {
    #[test]
    fn no_cent_of_the_charges_is_lost_or_counted_twice(charges in prop::collection::vec(a_charge(), 0..20)) {
        let sum = |include_tax| charges.iter().map(|charge| charge.signed(include_tax)).sum::<Amount>();
        let of = |kinds: &[ChargeKind]| {
            charges.iter().filter(|charge| kinds.contains(&charge.kind)).map(|charge| charge.amount).sum::<Amount>()
        };
        let lowering = of(&[ChargeKind::Discount, ChargeKind::GiftCard]);
        let raising = of(&[ChargeKind::Shipping, ChargeKind::Fee]);
        let tax = of(&[ChargeKind::Tax]);
        prop_assert_eq!(sum(true) + lowering, raising, "included tax is information only");
        prop_assert_eq!(sum(false) + lowering, raising + tax);
    }
}
