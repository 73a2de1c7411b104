//! A question before something is done that can't be undone.
use anyhow::Result;
use std::io::{IsTerminal, Write};

/// Asks whoever sits at the terminal, past what a program reads; `None`: nobody does.
pub(super) fn ask(question: &str) -> Result<Option<bool>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    eprint!("  {question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes")))
}
