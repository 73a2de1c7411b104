//! What a batch came to.
use super::ask::Answer;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Report {
    done: usize,
    unchanged: usize,
    /// By reason: which sagas.
    refused: BTreeMap<String, Vec<String>>,
}

impl Report {
    pub(super) fn take(&mut self, saga: &str, answer: &Answer) {
        match answer {
            Answer::Done { .. } | Answer::Would { .. } => self.done += 1,
            Answer::Unchanged { .. } => self.unchanged += 1,
            Answer::Refused { detail, .. } => self.refused.entry(detail.clone()).or_default().push(saga.to_owned()),
        }
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.values().map(Vec::len).sum()
    }

    fn asked(&self) -> usize {
        self.done + self.unchanged + self.refused()
    }

    /// `of`: how many were to be asked.
    pub(super) fn table(&self, of: usize) -> String {
        let mut rows = vec![
            ("done".to_owned(), self.done),
            ("unchanged: it was so already".to_owned(), self.unchanged),
            ("refused".to_owned(), self.refused()),
        ];
        for (reason, sagas) in &self.refused {
            let example = sagas.first().map(String::as_str).unwrap_or_default();
            rows.push((format!("  {reason} ({example}{})", if sagas.len() > 1 { ", …" } else { "" }), sagas.len()));
        }
        if self.asked() < of {
            rows.push(("not asked".to_owned(), of - self.asked()));
        }
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let digits = rows.iter().map(|(_, count)| count.to_string().len()).max().unwrap_or(0);
        rows.iter().map(|(name, count)| format!("{name:width$}  {count:>digits$}")).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn json(&self, of: usize) -> Value {
        let refused: Vec<_> =
            self.refused.iter().map(|(reason, sagas)| json!({"reason": reason, "sagas": sagas})).collect();
        json!({"done": self.done, "unchanged": self.unchanged, "refused": refused, "not_asked": of - self.asked()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_a_refusal_under_its_reason() {
        let mut report = Report::default();
        let at = |state: &str| (state.to_owned(), "ship".to_owned());
        let ((state, step), (again, there)) = (at("RUNNING"), at("PAUSED"));
        report.take("sag_1", &Answer::Done { state, step });
        report.take("sag_2", &Answer::Unchanged { state: again, step: there });
        for saga in ["sag_3", "sag_4"] {
            let (code, detail) = ("not_allowed".to_owned(), "it has ended".to_owned());
            report.take(saga, &Answer::Refused { code, detail, supported_actions: vec![] });
        }
        let told = report.table(14);
        let figure = |name: &str| {
            let line = told.lines().find(|line| line.trim_start().starts_with(name));
            line.and_then(|line| line.split_whitespace().last()).map(str::to_owned)
        };
        let names = ["done", "unchanged", "refused", "it has ended (sag_3, …)", "not asked"];
        let figures = names.map(|name| figure(name).unwrap_or_else(|| panic!("{name}: {told}")));
        assert_eq!(figures, ["1", "1", "2", "2", "10"]);
        assert_eq!(report.json(14)["refused"][0]["sagas"], json!(["sag_3", "sag_4"]));
    }
}
