//! One order, its history, and everybody who meddles with it: a runner that crashes, a network that loses, delays and repeats,
//! a shop that cancels, staff, an operator. Each append is checked as it is made.
use super::calm;
use super::provider::{Plan, Provider};
use crate::{
    Event, LineId,
    fulfillment::{Fulfillment, SagaEvent},
    location::LocationMode,
    order::{OrderEvent, OrderPlaced, Reservation, Shortage},
    payment::PaymentEvent,
    saga::{
        Action, Context, Next, Reply, SagaState, WaitingOn,
        operator::{Command, Notes},
    },
    shipment::{self, LineQuantity, ShipmentEvent},
    testing::{self, ORDER, Random},
};
use std::collections::HashMap;

/// Turns after which nobody meddles any more and the order must come to rest.
const STORM: usize = 40;
/// Turns after which it never will.
const LIMIT: usize = 120;

/// Who does what in a run.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) placed: OrderPlaced,
    pub(super) mode: LocationMode,
    /// What is free of each SKU before.
    pub(super) stock: i64,
    pub(super) plan: Plan,
    /// In percent: how often a call goes wrong, and how often somebody comes between.
    pub(super) faults: u64,
    /// In percent: how often the shop asks for a cancel when somebody comes between.
    pub(super) cancels: u64,
    /// The shop cancels before the turn of this number.
    pub(super) cancel_at: Option<usize>,
    pub(super) staff_ship: bool,
    pub(super) operator_retries: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) history: Vec<Event>,
    pub(super) appends: usize,
    pub(super) calls: usize,
    pub(super) provider: Provider,
    pub(super) free: HashMap<String, i64>,
    pub(super) cancel_accepted: bool,
    random: Random,
    context: Context,
    /// What the runner carries on in memory; gone after a crash.
    carried: Option<Fulfillment>,
    /// Each key's one request.
    asked: HashMap<String, Action>,
    /// Sent, given up, and not arrived yet.
    on_the_way: Vec<Action>,
    /// Answers that arrive when nobody expects them.
    stray: Vec<(Action, Reply)>,
    undone: Vec<u8>,
}

impl World {
    pub(super) fn new(scenario: Scenario, seed: u64) -> World {
        let free = scenario.placed.lines.iter().map(|line| (line.sku.0.clone(), scenario.stock)).collect();
        let mut world = World {
            provider: Provider::new(scenario.plan.clone()),
            context: testing::context(scenario.mode),
            history: vec![],
            appends: 0,
            calls: 0,
            free,
            cancel_accepted: false,
            random: Random::new(seed),
            carried: None,
            asked: HashMap::new(),
            on_the_way: vec![],
            stray: vec![],
            undone: vec![],
            scenario,
        };
        let placed = world.scenario.placed.clone().into();
        world.append(vec![placed]);
        world
    }

    /// Until it has ended, or waits for somebody who does not come.
    pub(super) fn run(&mut self) -> Fulfillment {
        for turn in 0.. {
            assert!(turn < LIMIT, "it never comes to rest: {:?}", self.state().next(ORDER));
            let is_calm = turn >= STORM;
            if self.scenario.cancel_at == Some(turn) {
                self.cancel();
            }
            while !is_calm && self.random.percent(self.scenario.faults) {
                self.meddle();
            }
            if !self.turn(is_calm) {
                break;
            }
        }
        self.settle();
        self.state()
    }

    /// `false` when nothing moves any more.
    fn turn(&mut self, is_calm: bool) -> bool {
        let state = self.state();
        let next = state.next(ORDER);
        assert_eq!(next, state.next(ORDER), "asked twice, it answers the same");
        assert_eq!(state.has_ended(), next == Next::Ended);
        let saga = &state.saga;
        assert!(saga.retrying.as_ref().is_none_or(|retrying| retrying.step == state.step()), "no old trouble is kept");
        assert!(saga.paused.as_ref().is_none_or(|paused| paused.step == state.step()), "no old incident is kept");
        // Paused is seen as paused, until a cancel moves it on.
        let is_paused = state.saga_state() == SagaState::Paused && next != Next::Advance;
        assert_eq!(is_paused, next == Next::Wait(WaitingOn::Operator));
        match next {
            Next::Ended => return false,
            Next::Advance => self.answer(None, Reply::Nothing),
            Next::Act(action) => self.act(action, is_calm),
            Next::Wait(WaitingOn::Operator) if state.saga.held && (is_calm || self.random.percent(50)) => {
                self.operate(Command::Resume);
            }
            Next::Wait(WaitingOn::Operator) if state.saga.held => {}
            Next::Wait(WaitingOn::Operator) if self.scenario.operator_retries => self.retry(),
            Next::Wait(WaitingOn::Warehouse) if self.scenario.staff_ship => self.staff(is_calm),
            Next::Wait(WaitingOn::Operator | WaitingOn::Warehouse) => return !is_calm,
            Next::Wait(other) => panic!("nobody is there who could end a wait for {}", other.name()),
        }
        true
    }

    fn state(&mut self) -> Fulfillment {
        self.carried.get_or_insert_with(|| Fulfillment::fold(&self.history)).clone()
    }

    /// Does what the saga asks for, as well as the network lets it.
    fn act(&mut self, action: Action, is_calm: bool) {
        if let Some(key) = action.key() {
            let first = self.asked.entry(key.to_owned()).or_insert_with(|| action.clone());
            assert_eq!(*first, action, "a key stands for one request");
        }
        let undoes = matches!(action, Action::VoidAuthorization { .. } | Action::VoidLabel { .. });
        assert_eq!(
            undoes,
            self.state().saga.compensating.is_some(),
            "no step forward while it compensates: {action:?}"
        );
        let reply = match &action {
            Action::Reserve { lines } => self.reserve(lines),
            _ if !is_calm && self.random.percent(self.scenario.faults) => self.fail(&action),
            _ => {
                self.calls += 1;
                self.provider.act(&action)
            }
        };
        while !is_calm && self.random.percent(self.scenario.faults) {
            self.meddle();
        }
        if !is_calm && self.random.percent(self.scenario.faults / 3) {
            // It crashes with the answer in its hands.
            self.stray.push((action, reply));
            self.carried = None;
            return;
        }
        self.answer(Some(action), reply);
    }

    fn fail(&mut self, action: &Action) -> Reply {
        self.calls += 1;
        match self.random.below(6) {
            0 => Reply::Unanswered { cause: "unavailable".to_owned() },
            1 => {
                self.provider.act(action);
                Reply::Unanswered { cause: "unknown_outcome".to_owned() }
            }
            2 => {
                let late = self.provider.act(action);
                self.stray.push((action.clone(), late));
                Reply::Unanswered { cause: "unknown_outcome".to_owned() }
            }
            3 => {
                self.on_the_way.push(action.clone());
                Reply::Unanswered { cause: "unknown_outcome".to_owned() }
            }
            4 => Reply::Stuck { cause: "no_payment_token".to_owned() },
            _ => Reply::Exhausted,
        }
    }

    fn reserve(&self, lines: &[Reservation]) -> Reply {
        let short = |line: &&Reservation| self.free[&line.sku.0] < line.quantity;
        let shortages: Vec<_> = lines
            .iter()
            .filter(short)
            .map(|line| Shortage {
                sku: line.sku.clone(),
                location: line.location.clone(),
                wanted: line.quantity,
                available: self.free[&line.sku.0],
            })
            .collect();
        if shortages.is_empty() { Reply::Reserved } else { Reply::OutOfStock { shortages } }
    }

    /// Reacts and appends. The same answer again never changes anything.
    fn answer(&mut self, action: Option<Action>, reply: Reply) {
        let state = self.state();
        let events = state.react(ORDER, action.as_ref(), reply.clone(), &self.context).expect("an answer fits");
        self.append(events);
        let again = self.state().react(ORDER, action.as_ref(), reply.clone(), &self.context);
        assert_eq!(again, Ok(vec![]), "{reply:?} is heard twice");
        if let Some(action) = action.filter(|action| action.key().is_some())
            && !matches!(reply, Reply::Unanswered { .. } | Reply::Exhausted | Reply::Stuck { .. })
            && self.random.percent(self.scenario.faults)
        {
            self.stray.push((action, reply));
        }
    }

    fn append(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.appends += 1;
        let mut state = self.state();
        for event in events {
            self.check(&state, &event);
            state.evolve(&event);
            self.history.push(event);
        }
        assert_eq!(state, Fulfillment::fold(&self.history), "what is carried is what is recorded");
        calm::keeps_its_word(&state, &self.context);
        self.carried = Some(state);
    }

    /// What no event may do after those before it.
    fn check(&mut self, before: &Fulfillment, event: &Event) {
        let forward = matches!(
            event,
            Event::Order(OrderEvent::StockReserved(_) | OrderEvent::OrderCompleted(_))
                | Event::Payment(PaymentEvent::PaymentAuthorized(_) | PaymentEvent::PaymentCaptured(_))
                | Event::Shipment(
                    ShipmentEvent::FulfillmentReleased(_)
                        | ShipmentEvent::LabelPurchased(_)
                        | ShipmentEvent::FulfillmentShipped(_)
                )
        );
        assert!(!(forward && before.saga.compensating.is_some()), "forward after compensation began: {event:?}");
        let undo = match event {
            Event::Shipment(ShipmentEvent::LabelVoided(_)) => Some(1),
            Event::Shipment(ShipmentEvent::FulfillmentRecalled(_)) => Some(2),
            Event::Payment(PaymentEvent::AuthorizationVoided(_)) => Some(3),
            Event::Order(OrderEvent::StockReleased(_)) => Some(4),
            _ => None,
        };
        if let Some(undo) = undo {
            assert!(before.saga.compensating.is_some(), "undone without a reason: {event:?}");
            assert!(self.undone.last().is_none_or(|last| *last < undo), "undone once and in reverse: {event:?}");
            self.undone.push(undo);
        }
        match event {
            Event::Order(OrderEvent::StockReserved(reserved)) => self.take(&reserved.lines, -1),
            Event::Order(OrderEvent::StockReleased(released)) => self.take(&released.lines, 1),
            Event::Saga(SagaEvent::CompensationStarted(_)) => {
                assert!(before.saga.compensating.is_none() && !before.shipment.has_left(), "too late to undo");
            }
            Event::Saga(SagaEvent::SagaCompleted(_) | SagaEvent::SagaCompensated(_)) => {
                assert!(before.has_ended() && !before.saga.ended, "it ends once, with the order");
            }
            _ => assert!(!before.has_ended(), "nothing happens after the end: {event:?}"),
        }
    }

    fn take(&mut self, lines: &[Reservation], sign: i64) {
        for line in lines {
            let free = self.free.get_mut(&line.sku.0).expect("a known SKU");
            *free += sign * line.quantity;
            assert!(*free >= 0, "more is reserved than is there");
        }
    }

    /// Somebody else comes between.
    fn meddle(&mut self) {
        match self.random.below(8) {
            0 if self.random.percent(self.scenario.cancels) => self.cancel(),
            6 if self.random.percent(30) => self.operate(Command::Pause),
            7 if self.random.percent(self.scenario.cancels) => self.operate(Command::Compensate),
            6 | 7 => self.operate(Command::Resume),
            1 => self.carried = None,
            2 => self.retry(),
            3 => self.staff(false),
            4 if !self.on_the_way.is_empty() => {
                let action = self.on_the_way.remove(0);
                let reply = self.provider.act(&action);
                self.stray.push((action, reply));
            }
            _ if !self.stray.is_empty() => {
                let stray = self.random.below(self.stray.len() as u64);
                let (action, reply) = self.stray.swap_remove(usize::try_from(stray).expect("an index"));
                self.answer(Some(action), reply);
            }
            _ => {}
        }
    }

    fn cancel(&mut self) {
        let state = self.state();
        match state.request_cancel(None) {
            Ok(events) => {
                self.cancel_accepted |= !events.is_empty();
                self.append(events);
            }
            Err(_) => assert!(state.shipment.has_left(), "a cancel is declined only when goods have left"),
        }
    }

    fn retry(&mut self) {
        self.operate(Command::Retry);
    }

    /// An operator asks for something; it may be refused.
    fn operate(&mut self, command: Command) {
        let is_forced = command == Command::Compensate;
        let events = self.state().operate(ORDER, command, Notes::default(), self.context.now).unwrap_or_default();
        self.cancel_accepted |= is_forced && !events.is_empty();
        self.append(events);
    }

    /// Staff report something, as it comes; everything when it is calm.
    fn staff(&mut self, is_calm: bool) {
        let lines = (!is_calm && self.random.percent(50)).then(|| vec![self.some_of_a_line()]);
        let command = match self.random.below(3) {
            0 if !is_calm => shipment::Command::Pick { lines },
            1 if !is_calm => shipment::Command::Pack { lines, parcels: vec![] },
            _ => shipment::Command::Ship { lines, parcels: vec![] },
        };
        let events = self.state().report(command).unwrap_or_default();
        self.append(events);
    }

    fn some_of_a_line(&mut self) -> LineQuantity {
        let lines = self.scenario.placed.lines.len() as u64;
        let line_id = LineId((1 + self.random.below(lines)).to_string());
        LineQuantity { line_id, quantity: 1 + i64::from(self.random.percent(30)) }
    }

    /// Everything late arrives, and changes nothing that has ended.
    fn settle(&mut self) {
        for action in std::mem::take(&mut self.on_the_way) {
            let reply = self.provider.act(&action);
            self.stray.push((action, reply));
        }
        if self.state().has_ended() {
            let appends = self.appends;
            for (action, reply) in std::mem::take(&mut self.stray) {
                self.answer(Some(action), reply);
            }
            assert_eq!(self.appends, appends, "an end is an end");
        }
    }
}
