//! A command about an order that is there: carried out once under its key, and its sagas told of it.
use super::{App, call::Call, idempotency::Guard, problem::Problem, validate::json::Json};
use crate::{
    handler::{Handled, handle},
    history::{Change, History},
};
use domain::Event;
use eventstore::{Claim, Metadata, VaultEntry};

/// A command whose turn it is under its key. A repeat that waited finds by itself what the first has left.
#[derive(Debug)]
pub(super) struct Claimed {
    claim: Claim,
    guard: Option<Guard>,
}

impl Claimed {
    pub(super) async fn take(
        app: &App,
        call: &Call,
        shop: &str,
        key: String,
        json: &Json<'_>,
    ) -> Result<Claimed, Problem> {
        let claim = call.claim(app, shop, key, json);
        let guard = app.in_flight.turn(app, &claim).await?.guard();
        Ok(Claimed { claim, guard })
    }

    /// Appends what is decided on the order's history; from then on its sagas are due.
    pub(super) async fn carry_out<R>(
        self,
        app: &App,
        history: &mut History,
        metadata: &Metadata,
        vault: Vec<VaultEntry>,
        decide: impl Fn(&History) -> Result<Vec<Event>, R>,
    ) -> Result<Handled<R>, Problem> {
        let due = history.due((app.clock)());
        let change = || Change { vault: vault.clone(), timers: vec![due.clone()], ..Change::default() };
        let handled = handle(&*app.store, history, metadata, &self.claim, change, decide).await?;
        drop(self.guard);
        if let Handled::Written(appended) = &handled {
            app.changed(history.order, appended.last);
        }
        Ok(handled)
    }
}
