//! An order's returns in a trace: what comes back, how far that is, and whom each waits for.
use super::{Saga, next, words};
use serde::Deserialize;

/// The fields of `Return` below.
pub(super) const FIELDS: &str = "id number stage refund label { carrier trackingNumber }
    lines { sku quantity received restocked writtenOff refused }
    saga { id state step waitingOn waitingSince overdue remainingSteps }";

#[derive(Deserialize)]
pub(super) struct Return {
    id: String,
    number: i32,
    stage: String,
    refund: Option<String>,
    label: Option<Label>,
    lines: Vec<Line>,
    saga: Saga,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    carrier: String,
    tracking_number: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    sku: String,
    quantity: i64,
    received: i64,
    restocked: i64,
    written_off: i64,
    refused: i64,
}

impl Return {
    /// Where it stands.
    pub(super) fn told(&self, currency: &str) -> Vec<String> {
        let label = self.label.as_ref().map(|label| format!(", {} {}", label.carrier, label.tracking_number));
        let given = if self.stage == "INSPECTED" { "to give back" } else { "given back" };
        let refund = self.refund.as_ref().map(|refund| format!(", {refund} {currency} {given}"));
        let mut lines = vec![format!(
            "  {:10} {}{}{}  ({})",
            format!("return {}", self.number),
            words(&self.stage.to_lowercase()),
            label.unwrap_or_default(),
            refund.unwrap_or_default(),
            self.id
        )];
        lines.extend(self.lines.iter().map(|line| format!("               {}", line.told())));
        lines
    }

    /// What comes next of it.
    pub(super) fn next(&self) -> String {
        let next = match self.saga.state.as_str() {
            "COMPLETED" => "Nothing: it is complete.".to_owned(),
            "COMPENSATED" => "Nothing: it is closed, and nothing comes back.".to_owned(),
            _ => next(&self.saga),
        };
        format!("Return {}: {next}", self.number)
    }
}

impl Line {
    fn told(&self) -> String {
        let parts = [
            (self.received, "came"),
            (self.restocked, "as good as new"),
            (self.written_off, "written off"),
            (self.refused, "refused"),
        ];
        let known: Vec<_> =
            parts.into_iter().filter(|(units, _)| *units > 0).map(|(units, what)| format!("{units} {what}")).collect();
        let known = if known.is_empty() { String::new() } else { format!(": {}", known.join(", ")) };
        format!("{} × {}{known}", self.quantity, self.sku)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn returned(changed: &Value) -> Return {
        let mut value = json!({"id": "ret_01_2", "number": 2, "stage": "IN_TRANSIT", "refund": null,
            "label": {"carrier": "Parcel Post", "trackingNumber": "PP1"},
            "lines": [{"sku": "tea", "quantity": 3, "received": 0, "restocked": 0, "writtenOff": 0, "refused": 0}],
            "saga": {"id": "ret_01_2", "state": "WAITING", "step": "receive", "waitingOn": "warehouse",
                "waitingSince": "2026-11-01T09:00:00Z", "overdue": true, "remainingSteps": ["receive", "inspect", "refund", "put_away"]}});
        for (name, value_of) in changed.as_object().unwrap() {
            value[name] = value_of.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_return_that_waits_says_what_is_to_come_whom_it_waits_for_and_what_remains() {
        let waits = returned(&json!({}));
        assert_eq!(
            waits.told("USD"),
            ["  return 2   in transit, Parcel Post PP1  (ret_01_2)", "               3 × tea"]
        );
        assert_eq!(
            waits.next(),
            "Return 2: It is at “receive” and waits for warehouse since 2026-11-01 09:00:00.000, longer than expected. \
             Still to do: receive, then inspect, then refund, then put away."
        );
    }

    #[test]
    fn one_that_is_complete_says_what_was_found_and_what_was_given_back() {
        let saga = json!({"id": "ret_01_2", "state": "COMPLETED", "step": "put_away", "waitingOn": null, "waitingSince": null,
            "overdue": false, "remainingSteps": []});
        let done = returned(&json!({"stage": "COMPLETED", "refund": "9.80", "label": null, "saga": saga,
            "lines": [{"sku": "tea", "quantity": 3, "received": 3, "restocked": 1, "writtenOff": 1, "refused": 1}]}));
        assert_eq!(
            done.told("USD"),
            [
                "  return 2   completed, 9.80 USD given back  (ret_01_2)",
                "               3 × tea: 3 came, 1 as good as new, 1 written off, 1 refused",
            ]
        );
        assert_eq!(done.next(), "Return 2: Nothing: it is complete.");
    }
}
