//! The rules of a fulfillment, one sentence each.
use super::{
    Command, FulfillmentPacked, FulfillmentPicked, FulfillmentRecalled, FulfillmentShipped, LabelPurchased,
    LabelVoided, LineQuantity, Parcel, Rejection, Shipment, ShipmentEvent, Stage,
};
use crate::{
    Decider, fold,
    location::LocationMode,
    testing::{given, label, quantities, released},
};
use proptest::prelude::*;

const LINES: [(&str, i64); 2] = [("1", 1), ("2", 3)];

fn a_release() -> ShipmentEvent {
    released(LocationMode::Manual, &LINES).into()
}

fn picked(lines: &[(&str, i64)]) -> ShipmentEvent {
    FulfillmentPicked { lines: quantities(lines) }.into()
}

fn shipped(lines: &[(&str, i64)]) -> ShipmentEvent {
    FulfillmentShipped { lines: quantities(lines), parcels: vec![] }.into()
}

fn labelled() -> ShipmentEvent {
    LabelPurchased { label: label("k/ship") }.into()
}

fn label_voided() -> LabelVoided {
    LabelVoided { key: "k/void".to_owned(), label_id: Some("lbl_1".to_owned()) }
}

fn ship(lines: &[(&str, i64)]) -> Command {
    Command::Ship { lines: Some(quantities(lines)), parcels: vec![] }
}

fn ship_all() -> Command {
    Command::Ship { lines: None, parcels: vec![] }
}

fn decide(events: &[ShipmentEvent], command: Command) -> Result<Vec<ShipmentEvent>, Rejection> {
    given::<Shipment>(events, command)
}

fn stage(events: &[ShipmentEvent]) -> Option<Stage> {
    fold::<Shipment>(events).stage()
}

#[test]
fn a_fulfillment_is_released_once() {
    let release = Command::Release(released(LocationMode::Manual, &LINES));
    assert_eq!(decide(&[], release.clone()), Ok(vec![a_release()]));
    assert_eq!(decide(&[a_release()], release), Ok(vec![]));
}

#[test]
fn nothing_is_worked_on_before_its_release() {
    for command in [Command::Pick { lines: None }, ship_all(), Command::Recall { leaving_label: false }] {
        assert_eq!(decide(&[], command), Err(Rejection::NotReleased));
    }
    assert_eq!(stage(&[]), None);
}

#[test]
fn no_lines_means_everything_that_is_left() {
    let given = [a_release(), shipped(&[("2", 2)])];
    assert_eq!(decide(&given, ship_all()), Ok(vec![shipped(&[("1", 1), ("2", 1)])]));
    assert_eq!(decide(&[a_release(), shipped(&LINES)], ship_all()), Ok(vec![]));
}

#[test]
fn no_more_leaves_than_was_released() {
    let too_many = |wanted, left| Rejection::TooMany { line_id: "2".into(), wanted, left };
    assert_eq!(decide(&[a_release()], ship(&[("2", 4)])), Err(too_many(4, 3)));
    assert_eq!(decide(&[a_release(), shipped(&[("2", 2)])], ship(&[("2", 2)])), Err(too_many(2, 1)));
}

#[test]
fn a_line_is_named_once_by_its_id_and_with_a_quantity() {
    assert_eq!(decide(&[a_release()], ship(&[("3", 1)])), Err(Rejection::UnknownLine("3".into())));
    assert_eq!(decide(&[a_release()], ship(&[("2", 1), ("2", 1)])), Err(Rejection::LineNamedTwice("2".into())));
    for quantity in [0, -1] {
        assert_eq!(decide(&[a_release()], ship(&[("2", quantity)])), Err(Rejection::NoQuantity("2".into())));
    }
}

#[test]
fn a_later_stage_implies_the_earlier() {
    assert_eq!(stage(&[a_release()]), Some(Stage::ToPick));
    assert_eq!(stage(&[a_release(), picked(&[("2", 1)])]), Some(Stage::Picking));
    assert_eq!(stage(&[a_release(), picked(&LINES)]), Some(Stage::Picked));
    let packed = FulfillmentPacked { lines: quantities(&LINES), parcels: vec![] }.into();
    assert_eq!(stage(&[a_release(), packed]), Some(Stage::Packed));
    let given = [a_release(), shipped(&LINES)];
    assert_eq!(stage(&given), Some(Stage::Shipped));
    assert_eq!(decide(&given, Command::Pick { lines: None }), Ok(vec![]));
    assert_eq!(decide(&given, Command::Pack { lines: None, parcels: vec![] }), Ok(vec![]));
}

#[test]
fn what_has_left_names_its_carrier_also_when_the_rest_leaves_untold() {
    let parcel = Parcel {
        weight_grams: None,
        carrier: Some("swift".to_owned()),
        tracking_number: Some("SW1".to_owned()),
        label_id: None,
    };
    let untold = Parcel { weight_grams: Some(5), carrier: None, tracking_number: None, label_id: None };
    let first = FulfillmentShipped { lines: quantities(&LINES[..1]), parcels: vec![parcel] }.into();
    let rest = FulfillmentShipped { lines: quantities(&LINES[1..]), parcels: vec![untold] }.into();
    let released = fold::<Shipment>(&[a_release(), first, rest]).released.unwrap();
    assert_eq!((released.carrier.as_deref(), released.tracking_number.as_deref()), (Some("swift"), Some("SW1")));
}

#[test]
fn a_recalled_fulfillment_is_worked_on_no_more() {
    let recalled: ShipmentEvent = FulfillmentRecalled {}.into();
    assert_eq!(
        decide(&[a_release(), picked(&LINES)], Command::Recall { leaving_label: false }),
        Ok(vec![recalled.clone()])
    );
    let given = [a_release(), recalled];
    assert_eq!(stage(&given), Some(Stage::Cancelled));
    assert_eq!(decide(&given, Command::Recall { leaving_label: false }), Ok(vec![]));
    for command in [Command::Pick { lines: None }, ship_all(), Command::RecordLabel(label("k/ship"))] {
        assert_eq!(decide(&given, command), Err(Rejection::Recalled));
    }
}

#[test]
fn what_has_left_is_not_recalled_nor_its_label_voided() {
    let given = [a_release(), shipped(&[("1", 1)])];
    assert_eq!(decide(&given, Command::Recall { leaving_label: false }), Err(Rejection::AlreadyShipped));
    assert_eq!(decide(&given, Command::RecordLabelVoid(label_voided())), Err(Rejection::AlreadyShipped));
}

#[test]
fn a_label_is_voided_before_the_recall() {
    let given = [a_release(), labelled()];
    assert_eq!(decide(&given, Command::Recall { leaving_label: false }), Err(Rejection::OutOfPlace("Recall")));
    assert_eq!(decide(&given, Command::RecordLabelVoid(label_voided())), Ok(vec![label_voided().into()]));
    let given = [a_release(), labelled(), label_voided().into()];
    assert_eq!(decide(&given, Command::RecordLabelVoid(label_voided())), Ok(vec![]));
    assert_eq!(decide(&given, Command::Recall { leaving_label: false }), Ok(vec![FulfillmentRecalled {}.into()]));
}

#[test]
fn one_label_is_recorded_once() {
    assert_eq!(decide(&[a_release()], Command::RecordLabel(label("k/ship"))), Ok(vec![labelled()]));
    let given = [a_release(), labelled()];
    assert_eq!(decide(&given, Command::RecordLabel(label("k/ship"))), Ok(vec![]));
    let other = crate::shipment::Label { label_id: "lbl_2".to_owned(), ..label("k/ship") };
    assert_eq!(decide(&given, Command::RecordLabel(other)), Err(Rejection::OutOfPlace("RecordLabel")));
}

fn a_report() -> impl Strategy<Value = Command> {
    let line = (prop::sample::select(vec!["1", "2", "3"]), -1_i64..5);
    let lines = prop::option::of(prop::collection::vec(line, 1..3));
    (0..3, lines).prop_map(|(kind, lines)| {
        let lines: Option<Vec<LineQuantity>> = lines.map(|lines| quantities(&lines));
        match kind {
            0 => Command::Pick { lines },
            1 => Command::Pack { lines, parcels: vec![] },
            _ => Command::Ship { lines, parcels: vec![] },
        }
    })
}

proptest! {
    #[test]
    fn whatever_staff_report_the_quantities_stay_within_what_was_released(
        reports in prop::collection::vec(a_report(), 0..12),
    ) {
        let mut shipment = fold::<Shipment>(&[a_release()]);
        let mut left_the_house = 0;
        for report in reports {
            for event in Shipment::decide(&shipment, report).unwrap_or_default() {
                if let ShipmentEvent::FulfillmentShipped(shipped) = &event {
                    prop_assert!(shipped.lines.iter().all(|line| line.quantity > 0));
                    left_the_house += shipped.lines.iter().map(|line| line.quantity).sum::<i64>();
                }
                Shipment::evolve(&mut shipment, &event);
            }
            let lines = &shipment.released.as_ref().unwrap().lines;
            for line in lines {
                prop_assert!(0 <= line.shipped && line.shipped <= line.packed);
                prop_assert!(line.packed <= line.picked && line.picked <= line.quantity);
            }
            prop_assert_eq!(left_the_house, lines.iter().map(|line| line.shipped).sum::<i64>());
            prop_assert_eq!(shipment.has_left(), left_the_house > 0);
            prop_assert_eq!(shipment.is_shipped(), left_the_house == 4);
        }
    }
}
