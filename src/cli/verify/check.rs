//! What a check looked at and found, told while it goes and as a table at the end.

/// More than these are counted, not shown.
const SHOWN: usize = 50;

/// What is wrong; bounded, however much it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    count: u64,
    pub(super) shown: Vec<String>,
}

impl Faults {
    pub(super) fn add(&mut self, text: impl Into<String>) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(text.into());
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl Extend<String> for Faults {
    fn extend<T: IntoIterator<Item = String>>(&mut self, faults: T) {
        faults.into_iter().for_each(|fault| self.add(fault));
    }
}

impl FromIterator<String> for Faults {
    fn from_iter<T: IntoIterator<Item = String>>(faults: T) -> Faults {
        let mut all = Faults::default();
        all.extend(faults);
        all
    }
}

/// One check.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// A word or two, for example `checksums`.
    pub(super) name: &'static str,
    /// How many things it looked at; `None`: it was left out.
    pub(super) looked_at: Option<u64>,
    /// What it found to be so, in plain words.
    pub(super) what: String,
    pub(super) faults: Faults,
    /// What a restored store has lost: told, and no fault.
    pub(super) gone: Vec<String>,
}

impl Check {
    pub(super) fn done(name: &'static str, looked_at: u64, what: impl Into<String>, faults: Faults) -> Check {
        Check { name, looked_at: Some(looked_at), what: what.into(), faults, gone: Vec::new() }
    }

    pub(super) fn left_out(name: &'static str, why: impl Into<String>) -> Check {
        Check { name, looked_at: None, what: why.into(), faults: Faults::default(), gone: Vec::new() }
    }

    pub(super) fn with_gone(self, gone: Vec<String>) -> Check {
        Check { gone, ..self }
    }

    /// As soon as it is done.
    pub(super) fn report(&self) {
        match self.faults.count {
            0 if self.looked_at.is_none() => say!("-      {}: {}", self.name, self.what),
            0 => say!("ok     {}: {}", self.name, self.what),
            faults => say!("FAULT  {}: {faults} found", self.name),
        }
        for fault in &self.faults.shown {
            say!("       {fault}");
        }
        let untold = self.faults.count - self.faults.shown.len() as u64;
        if untold > 0 {
            say!("       and {untold} more");
        }
        for gone in &self.gone {
            say!("gone   {gone}");
        }
    }
}

/// The table at the end; `true` when all is well.
pub(super) fn conclude(checks: &[Check]) -> bool {
    say!("\n{:14}{:>14}{:>10}", "check", "looked at", "faults");
    for check in checks {
        match check.looked_at {
            Some(looked_at) => say!("{:14}{:>14}{:>10}", check.name, looked_at, check.faults.count),
            None => say!("{:14}{:>14}{:>10}", check.name, "left out", ""),
        }
    }
    let faults: u64 = checks.iter().map(|check| check.faults.count).sum();
    match faults {
        0 if checks.iter().any(|check| !check.gone.is_empty()) => say!("\nall is well but for what is gone"),
        0 => say!("\nall is well"),
        1 => say!("\n1 fault"),
        faults => say!("\n{faults} faults"),
    }
    faults == 0
}
