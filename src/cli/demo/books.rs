//! The shop's orders against the providers' own ledgers: each was paid, shipped or undone exactly once.
use super::{provider::Entry, shop::Told};
use std::collections::{BTreeMap, HashMap};

/// What the ledgers say of one order, by kind of entry.
pub(super) type Account = BTreeMap<String, usize>;

/// What happened to an order besides the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    None,
    /// Its capture was passed over on a person's word.
    Settled,
    /// All of it came back.
    Returned,
}

/// By the order's id.
pub(super) fn accounts(entries: Vec<Entry>) -> HashMap<String, Account> {
    let mut accounts: HashMap<String, Account> = HashMap::new();
    for Entry { kind, reference, .. } in entries {
        *accounts.entry(reference).or_default().entry(kind).or_default() += 1;
    }
    accounts
}

/// What is wrong with it; nothing, when it was done once or undone.
pub(super) fn fault(told: &Told, special: Special, account: &Account) -> Option<String> {
    let count = |kind: &str| account.get(kind).copied().unwrap_or(0);
    let seen = ["authorize", "void", "capture", "refund", "label", "void_label"].map(count);
    let is_right = match (told.status.as_str(), special) {
        ("COMPLETED", Special::None) => seen == [1, 0, 1, 0, 1, 0],
        ("COMPLETED", Special::Settled) => seen == [1, 0, 0, 0, 1, 0],
        // The second label brings it back.
        ("COMPLETED", Special::Returned) => seen == [1, 0, 1, 1, 2, 0],
        ("CANCELLED", Special::None) => {
            let [authorized, voided, captured, refunded, labels, labels_voided] = seen;
            authorized <= 1 && authorized == voided && labels == labels_voided && captured + refunded == 0
        }
        _ => false,
    };
    (!is_right).then(|| {
        let told_of: Vec<_> = account.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        format!("{} is {}; the ledgers have: {}", told.order_ref, told.status, told_of.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: &str, special: Special, kinds: &[&str]) -> Option<String> {
        let told = Told { order_id: "ord_1".into(), order_ref: "demo-1".into(), status: status.into() };
        let entry = |kind: &&str| Entry { seq: 1, kind: (*kind).to_owned(), reference: "ord_1".into() };
        let accounts = accounts(kinds.iter().map(entry).collect());
        fault(&told, special, accounts.get("ord_1").unwrap_or(&Account::new()))
    }

    #[test]
    fn an_order_is_paid_and_shipped_once_or_undone() {
        let whole = ["authorize", "label", "capture"];
        assert_eq!(judged("COMPLETED", Special::None, &whole), None);
        assert_eq!(judged("COMPLETED", Special::Settled, &whole[..2]), None);
        assert_eq!(judged("COMPLETED", Special::Returned, &[&whole[..], &["label", "refund"]].concat()), None);
        assert_eq!(judged("CANCELLED", Special::None, &[]), None);
        assert_eq!(judged("CANCELLED", Special::None, &["authorize", "void"]), None);
    }

    #[test]
    fn twice_or_half_is_a_fault_that_says_what_was_seen() {
        let twice = judged("COMPLETED", Special::None, &["authorize", "authorize", "label", "capture"]);
        assert_eq!(twice.unwrap(), "demo-1 is COMPLETED; the ledgers have: authorize 2, capture 1, label 1");
        for (status, kinds) in [
            ("COMPLETED", &["authorize", "label"][..]),
            ("CANCELLED", &["authorize"]),
            ("CANCELLED", &["authorize", "void", "label"]),
            ("SHIPPED", &["authorize", "label", "capture"]),
        ] {
            assert!(judged(status, Special::None, kinds).is_some(), "{status} {kinds:?}");
        }
    }
}
