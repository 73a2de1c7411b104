//! What people ask of returns, and report of them, decided with the order's whole history in view.
use super::{
    DEFINITION, InspectedLine, MAX_RETURNS, Return, ReturnApproved, ReturnCancelRequested, ReturnInspected, ReturnLine,
    ReturnReceived, ReturnRejected, ReturnRequested, ReturnStep, state::pieces,
};
use crate::{Event, LineId, fulfillment::Fulfillment};
use std::collections::HashSet;
use thiserror::Error;
use uuid::Uuid;

/// What can be asked or reported. `number`: which return of the order. No lines: all that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Request {
        lines: Option<Vec<ReturnLine>>,
        note_id: Option<Uuid>,
    },
    Approve {
        number: u16,
        note_id: Option<Uuid>,
    },
    Reject {
        number: u16,
        note_id: Option<Uuid>,
    },
    Cancel {
        number: u16,
        note_id: Option<Uuid>,
    },
    /// What came back; less than was announced is taken as all that comes.
    Receive {
        number: u16,
        lines: Option<Vec<ReturnLine>>,
    },
    /// What was found of each line that came; no lines: all of it is as good as new.
    Inspect {
        number: u16,
        lines: Option<Vec<InspectedLine>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("only a completed order's goods can come back")]
    NotCompleted,
    #[error("there is no such return")]
    NoSuchReturn,
    #[error("an order may have {MAX_RETURNS} returns at most")]
    TooManyReturns,
    #[error("nothing is left that could come back")]
    NothingLeft,
    /// Every line that is wrong, by its place in what was sent.
    #[error("{} lines are wrong", .0.len())]
    Lines(Vec<(usize, LineFault)>),
    #[error("the return is at {0}")]
    OutOfPlace(&'static str),
    #[error("an operator has paused the return")]
    OnHold,
    #[error("more would be given back than was taken")]
    MoreThanCaptured,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineFault {
    #[error("there is no line {0}")]
    Unknown(LineId),
    #[error("line {0} is named twice")]
    Twice(LineId),
    #[error("line {0} needs a quantity of 1 or more")]
    NoQuantity(LineId),
    #[error("of line {line_id} {left} can come back, not {wanted}")]
    TooMany { line_id: LineId, wanted: i64, left: i64 },
    #[error("of line {line_id} {came} came back, and {found} were found")]
    NotAllFound { line_id: LineId, came: i64, found: i64 },
}

impl Fulfillment {
    /// The events of what was asked or reported; none when it is so already.
    pub fn returning(&self, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Request { lines, note_id } => self.request_return(lines, note_id),
            Command::Approve { number, note_id } => {
                let this = self.a_return(number)?;
                let so = this.approved;
                one(this, ReturnStep::Approve, so, || ReturnApproved { number, note_id })
            }
            Command::Reject { number, note_id } => {
                let this = self.a_return(number)?;
                one(this, ReturnStep::Approve, this.rejected, || ReturnRejected { number, note_id })
            }
            Command::Cancel { number, note_id } => {
                let this = self.a_return(number)?;
                match () {
                    () if this.is_interrupted() || this.closed.is_some() => Ok(vec![]),
                    () if this.received.is_some() => Err(Rejection::OutOfPlace(this.step().name())),
                    () => Ok(vec![ReturnCancelRequested { number, note_id }.into()]),
                }
            }
            Command::Receive { number, lines } => {
                let this = self.a_return(number)?;
                let lines = lines.unwrap_or_else(|| this.wanted.clone());
                if this.received.as_ref() == Some(&lines) {
                    return Ok(vec![]);
                }
                check(&lines, |line_id| Some(pieces(&this.wanted, line_id)).filter(|wanted| *wanted > 0))?;
                one(this, ReturnStep::Receive, false, || ReturnReceived { number, lines })
            }
            Command::Inspect { number, lines } => {
                let this = self.a_return(number)?;
                let received = this.received.clone().unwrap_or_default();
                let lines = lines.unwrap_or_else(|| received.iter().map(as_good_as_new).collect());
                if this.inspected.as_ref() == Some(&lines) {
                    return Ok(vec![]);
                }
                if this.step() == ReturnStep::Inspect {
                    all_found(&received, &lines)?;
                }
                one(this, ReturnStep::Inspect, false, || ReturnInspected { number, lines })
            }
        }
    }

    fn a_return(&self, number: u16) -> Result<&Return, Rejection> {
        self.returns.one(number).ok_or(Rejection::NoSuchReturn)
    }

    fn request_return(&self, lines: Option<Vec<ReturnLine>>, note_id: Option<Uuid>) -> Result<Vec<Event>, Rejection> {
        if !self.is_completed() {
            return Err(Rejection::NotCompleted);
        }
        let number = self.returns.next_number();
        if number > MAX_RETURNS {
            return Err(Rejection::TooManyReturns);
        }
        let lines = match lines {
            Some(lines) => {
                check(&lines, |line_id| self.returnable(line_id))?;
                lines
            }
            None => {
                let placed = self.order.placed.iter().flat_map(|placed| &placed.lines);
                let left = placed.map(|line| {
                    let quantity = self.returnable(&line.line_id).unwrap_or(0);
                    ReturnLine { line_id: line.line_id.clone(), quantity }
                });
                left.filter(|line| line.quantity > 0).collect()
            }
        };
        if lines.is_empty() {
            return Err(Rejection::NothingLeft);
        }
        Ok(vec![ReturnRequested { number, definition_version: DEFINITION.version, lines, note_id }.into()])
    }

    /// How many pieces of a line have left and neither came back nor are about to; `None` when there is no such line.
    pub fn returnable(&self, line_id: &LineId) -> Option<i64> {
        let released = self.shipment.released.as_ref()?;
        let line = released.lines.iter().find(|line| line.line_id == *line_id)?;
        Some(line.shipped - self.returns.iter().map(|other| other.taken(line_id)).sum::<i64>())
    }
}

/// The event, when the return is at that step.
fn one<E: Into<Event>>(
    this: &Return,
    step: ReturnStep,
    is_so: bool,
    event: impl FnOnce() -> E,
) -> Result<Vec<Event>, Rejection> {
    match () {
        () if is_so => Ok(vec![]),
        () if this.is_interrupted() || this.has_ended() => Err(Rejection::OutOfPlace(this.stage().name())),
        () if this.saga.held => Err(Rejection::OnHold),
        () if this.step() != step => Err(Rejection::OutOfPlace(this.step().name())),
        () => Ok(vec![event().into()]),
    }
}

fn check(lines: &[ReturnLine], left: impl Fn(&LineId) -> Option<i64>) -> Result<(), Rejection> {
    let mut seen = HashSet::new();
    let fault = |ReturnLine { line_id, quantity }: &ReturnLine| match (left(line_id), *quantity) {
        (None, _) => Some(LineFault::Unknown(line_id.clone())),
        _ if !seen.insert(line_id.clone()) => Some(LineFault::Twice(line_id.clone())),
        (_, ..=0) => Some(LineFault::NoQuantity(line_id.clone())),
        (Some(left), wanted) if wanted > left => Some(LineFault::TooMany { line_id: line_id.clone(), wanted, left }),
        _ => None,
    };
    gathered(lines.iter().map(fault))
}

/// Every piece that came was found to be something, and nothing else was.
fn all_found(received: &[ReturnLine], lines: &[InspectedLine]) -> Result<(), Rejection> {
    let mut seen = HashSet::new();
    let mut fault = |InspectedLine { line_id, restock, write_off, refuse }: &InspectedLine| {
        let (came, found) = (pieces(received, line_id), restock + write_off + refuse);
        match () {
            () if came == 0 => Some(LineFault::Unknown(line_id.clone())),
            () if !seen.insert(line_id.clone()) => Some(LineFault::Twice(line_id.clone())),
            () if *restock < 0 || *write_off < 0 || *refuse < 0 => Some(LineFault::NoQuantity(line_id.clone())),
            () if found != came => Some(LineFault::NotAllFound { line_id: line_id.clone(), came, found }),
            () => None,
        }
    };
    let mut faults: Vec<_> = lines.iter().map(&mut fault).collect();
    let missing = received.iter().filter(|line| !lines.iter().any(|found| found.line_id == line.line_id));
    faults.extend(missing.map(|ReturnLine { line_id, quantity }| {
        Some(LineFault::NotAllFound { line_id: line_id.clone(), came: *quantity, found: 0 })
    }));
    gathered(faults.into_iter())
}

fn gathered(faults: impl Iterator<Item = Option<LineFault>>) -> Result<(), Rejection> {
    let faults: Vec<_> = faults.enumerate().filter_map(|(at, fault)| Some((at, fault?))).collect();
    if faults.is_empty() { Ok(()) } else { Err(Rejection::Lines(faults)) }
}

fn as_good_as_new(line: &ReturnLine) -> InspectedLine {
    InspectedLine { line_id: line.line_id.clone(), restock: line.quantity, write_off: 0, refuse: 0 }
}
