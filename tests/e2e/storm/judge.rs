//! What the providers' ledgers say, against what people were told: each thing done once, money conserved, nothing left of what was cancelled.
use super::{
    shop::cents,
    town::{Books, End, Order},
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    kind: String,
    reference: String,
    amount: String,
}

/// What both providers did for one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    authorized: i64,
    captured: i64,
    voided: i64,
    refunded: i64,
    labels: i64,
    labels_voided: i64,
    authorized_cents: i64,
    captured_cents: i64,
    refunded_cents: i64,
}

/// In minor units.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) completed: i64,
    /// Of completed orders whose capture an operator passed over, and which was not made.
    pub(super) given_up: i64,
}

impl Account {
    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let amount = || cents(&entry.amount).ok_or_else(|| format!("an amount is {}", entry.amount));
        let (count, sum) = match entry.kind.as_str() {
            "authorize" => (&mut self.authorized, Some(&mut self.authorized_cents)),
            "capture" => (&mut self.captured, Some(&mut self.captured_cents)),
            "refund" => (&mut self.refunded, Some(&mut self.refunded_cents)),
            "void" => (&mut self.voided, None),
            "label" => (&mut self.labels, None),
            "void_label" => (&mut self.labels_voided, None),
            kind => return Err(format!("an entry is of the kind {kind}")),
        };
        *count += 1;
        if let Some(sum) = sum {
            *sum += amount()?;
        }
        Ok(())
    }
}

/// By order. `urls`: the providers'.
pub(super) async fn read_ledgers(urls: &[&str]) -> BTreeMap<String, Account> {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for url in urls {
        let answer = http.get(format!("{url}/ledger")).send().await.expect("a ledger");
        let entries: Vec<Entry> = answer.json().await.expect("entries");
        for entry in entries {
            accounts.entry(entry.reference.clone()).or_default().take(&entry).expect("an entry that is understood");
        }
    }
    accounts
}

/// Whatever does not agree, and the sums.
pub(super) fn judge(books: &Books, mut accounts: BTreeMap<String, Account>) -> (Vec<String>, Sums) {
    let (mut faults, mut sums) = (Vec::new(), Sums::default());
    for (id, order) in &books.orders {
        let account = accounts.remove(id).unwrap_or_default();
        let deeds = Deeds {
            skipped: books.skipped.contains(id),
            compensated: books.compensated.contains(id),
            by_staff: books.shipped_by_staff.contains(id),
        };
        let wrong = wrongs(order, &account, deeds);
        faults.extend(wrong.into_iter().map(|wrong| format!("{id}: {wrong}; {order:?} {account:?} {deeds:?}")));
        sums.captured += account.captured_cents;
        sums.refunded += account.refunded_cents;
        if matches!(order.end, Some((End::Completed, _))) {
            sums.completed += order.cents;
            if deeds.skipped && account.captured == 0 {
                sums.given_up += order.cents;
            }
        }
    }
    faults.extend(accounts.keys().map(|id| format!("{id}: nobody was told of it, and a provider acted for it")));
    if sums.captured != sums.completed - sums.given_up {
        faults.push(format!("money is not conserved: {sums:?}"));
    }
    (faults, sums)
}

/// What people did to an order.
#[derive(Clone, Copy, Debug, Default)]
struct Deeds {
    skipped: bool,
    compensated: bool,
    by_staff: bool,
}

fn wrongs(order: &Order, account: &Account, deeds: Deeds) -> Vec<String> {
    let mut wrongs = Vec::new();
    let mut wrong = |is_so: bool, what: &str| {
        if is_so {
            wrongs.push(what.to_owned());
        }
    };
    let (returned, exact) = (order.returned.unwrap_or_default(), !deeds.skipped);
    wrong(account.authorized > 1, "authorized more than once");
    wrong(account.captured > 1, "captured more than once");
    wrong(account.voided > account.authorized, "voided more often than authorized");
    wrong(account.labels > 1 + i64::from(order.returned.is_some()), "more labels than parcels");
    wrong(account.authorized > 0 && account.authorized_cents != order.cents, "authorized another sum");
    wrong(account.captured > 0 && account.captured_cents != order.cents, "captured another sum");
    wrong(account.refunded > 1, "refunded more than once");
    wrong(exact && account.refunded_cents != returned.refund_cents, "refunded another sum than was told");
    let labels = account.labels - account.labels_voided;
    let must_end_cancelled = order.cancelled || deeds.compensated || order.token == "tok_decline";
    match order.end.map(|(end, _)| end) {
        None => wrong(true, "it has not ended"),
        Some(End::Completed) => {
            wrong(must_end_cancelled, "completed, though it was to be cancelled");
            wrong(account.authorized != 1 || account.voided != 0, "completed, but not authorized once");
            wrong(exact && account.captured != 1, "completed, but not captured once");
            wrong(exact && order.token == "tok_decline_on_capture", "completed, though its money was not to be had");
            let parcels = i64::from(!deeds.by_staff) + i64::from(returned.received);
            wrong(exact && labels != parcels, "completed, but not a label for each parcel");
        }
        Some(End::Cancelled) => {
            wrong(!must_end_cancelled && !order.is_scarce, "cancelled, though nobody wanted it");
            wrong(account.captured != 0, "cancelled, but captured");
            wrong(exact && account.authorized != account.voided, "cancelled, but its authorization stands");
            wrong(exact && labels != 0, "cancelled, but a label is left");
            wrong(deeds.by_staff, "cancelled, but shipped");
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::{super::town::Returned, *};
    use std::time::Instant;

    fn order(end: End) -> Order {
        let now = Instant::now();
        let (cancelled, is_scarce) = (end == End::Cancelled, false);
        Order {
            token: "tok_ok",
            cents: 980,
            is_scarce,
            cancelled,
            placed_at: now,
            end: Some((end, now)),
            returned: None,
        }
    }

    fn account(kinds: &[&str]) -> Account {
        let mut account = Account::default();
        for kind in kinds {
            let entry = Entry { kind: (*kind).to_owned(), reference: String::new(), amount: "9.80".to_owned() };
            account.take(&entry).unwrap();
        }
        account
    }

    #[test]
    fn the_judge_finds_what_was_done_twice_left_or_never_done() {
        let (completed, cancelled) = (order(End::Completed), order(End::Cancelled));
        let plain = |order: &Order, kinds: &[&str]| wrongs(order, &account(kinds), Deeds::default());
        let good = ["authorize", "label", "capture"];
        assert!(plain(&completed, &good).is_empty());
        assert!(plain(&cancelled, &["authorize", "label", "void_label", "void"]).is_empty());
        for (order, kinds) in [
            (&completed, &["authorize", "label", "capture", "capture"][..]),
            (&completed, &["authorize", "label", "label", "capture"]),
            (&completed, &["authorize", "label"]),
            (&completed, &["authorize", "capture"]),
            (&completed, &["authorize", "label", "capture", "refund"]),
            (&completed, &["authorize", "void", "label", "capture"]),
            (&cancelled, &["authorize"]),
            (&cancelled, &["authorize", "label", "void"]),
            (&cancelled, &["authorize", "label", "capture"]),
        ] {
            assert!(!plain(order, kinds).is_empty(), "{kinds:?}");
        }
        assert!(!plain(&Order { end: None, ..order(End::Completed) }, &good).is_empty());
        assert!(!plain(&Order { cancelled: true, ..order(End::Completed) }, &good).is_empty());
        assert!(!plain(&Order { cancelled: false, ..order(End::Cancelled) }, &[]).is_empty());
    }

    #[test]
    fn the_judge_knows_what_operators_and_customers_answered_for() {
        let declined = Order { token: "tok_decline_on_capture", ..order(End::Completed) };
        let without = account(&["authorize", "label"]);
        assert!(wrongs(&declined, &without, Deeds { skipped: true, ..Deeds::default() }).is_empty());
        let returned = Some(Returned { received: true, refund_cents: 980 });
        let back = Order { returned, ..order(End::Completed) };
        let kinds = ["authorize", "label", "capture", "label", "refund"];
        assert!(wrongs(&back, &account(&kinds), Deeds::default()).is_empty());
        assert!(!wrongs(&back, &account(&kinds[..4]), Deeds::default()).is_empty());
        let by_hand = account(&["authorize", "capture"]);
        assert!(wrongs(&order(End::Completed), &by_hand, Deeds { by_staff: true, ..Deeds::default() }).is_empty());
    }

    #[test]
    fn the_judge_finds_money_that_nobody_was_told_of() {
        let mut books = Books::default();
        books.orders.insert("ord_1".to_owned(), order(End::Completed));
        let good = || account(&["authorize", "label", "capture"]);
        let (faults, sums) = judge(&books, [("ord_1".to_owned(), good())].into());
        assert!(faults.is_empty() && sums.captured == 980, "{faults:?} {sums:?}");
        assert_eq!(judge(&books, [("ord_1".to_owned(), good()), ("ord_2".to_owned(), good())].into()).0.len(), 1);
        assert!(!judge(&books, BTreeMap::new()).0.is_empty());
    }
}
