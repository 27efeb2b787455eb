//! What is said of a row, from what is said of its cases.

use super::{Level, Need, Row, Split};

/// What is said of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every case was right.
    Pass,
    /// One was not, and the rule is this binding.
    Fail(Level),
    /// One was not as we have it, which is another server's right.
    Differs,
    /// The server has not what the row needs.
    Skipped(Need),
    /// Nobody can tell: the text says what went wrong on the way.
    Error(String),
}

impl Verdict {
    /// In a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Differs => "differs",
            Self::Skipped(_) => "skipped",
            Self::Error(_) => "error",
        }
    }
}

/// A case that was not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which of the row's cases, from 1 on.
    pub case: usize,
    /// How it was sent.
    pub split: Split,
    /// How binding it is.
    pub level: Level,
    /// What is wrong.
    pub wrong: String,
    /// What was sent.
    pub sent: Vec<u8>,
    /// What came.
    pub got: Vec<u8>,
}

/// A row and what came of it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub row: Row,
    /// What is said of it.
    pub verdict: Verdict,
    /// How many cases were sent, each split counted.
    pub tried: usize,
    /// Those that were not right.
    pub faults: Vec<Fault>,
}

impl Finding {
    /// What is said of a row whose cases all had an end.
    pub fn of(row: Row, tried: usize, faults: Vec<Fault>) -> Self {
        let worst = faults.iter().map(|fault| fault.level).max();
        let verdict = match worst {
            None => Verdict::Pass,
            Some(Level::Own) => Verdict::Differs,
            Some(level @ (Level::Should | Level::Must)) => Verdict::Fail(level),
        };
        Self {
            row,
            verdict,
            tried,
            faults,
        }
    }

    /// What is said of a row that was not tried, or not to its end.
    pub const fn without(row: Row, verdict: Verdict) -> Self {
        Self {
            row,
            verdict,
            tried: 0,
            faults: Vec::new(),
        }
    }

    /// Whether it is a MUST that was not kept.
    pub fn is_broken(&self) -> bool {
        self.verdict == Verdict::Fail(Level::Must)
    }

    /// What the table says beside the verdict.
    pub fn remark(&self) -> String {
        match &self.verdict {
            Verdict::Pass => String::new(),
            Verdict::Skipped(need) => need.lacking().to_owned(),
            Verdict::Error(text) => text.clone(),
            Verdict::Fail(_) | Verdict::Differs => {
                let worst = self.faults.iter().map(|fault| fault.level).max();
                let mut faults = self.faults.iter();
                let first = faults.find(|fault| Some(fault.level) == worst);
                first.map(|fault| fault.wrong.clone()).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;

    #[test]
    fn the_most_binding_fault_decides() {
        let row = rows::all()[0];
        let fault = |level| Fault {
            case: 1,
            split: Split::Whole,
            level,
            wrong: level_name(level),
            sent: Vec::new(),
            got: Vec::new(),
        };
        for (levels, verdict) in [
            (&[][..], Verdict::Pass),
            (&[Level::Own], Verdict::Differs),
            (&[Level::Should, Level::Own], Verdict::Fail(Level::Should)),
            (&[Level::Own, Level::Must], Verdict::Fail(Level::Must)),
        ] {
            let faults: Vec<Fault> = levels.iter().copied().map(fault).collect();
            let finding = Finding::of(row, 3, faults);
            assert_eq!(finding.verdict, verdict);
            assert_eq!(finding.is_broken(), levels.contains(&Level::Must));
            let worst = levels.iter().max().copied().map(level_name);
            assert_eq!(finding.remark(), worst.unwrap_or_default());
        }
        let skipped = Finding::without(row, Verdict::Skipped(Need::Time));
        assert!(skipped.remark().contains("--slow"));
    }

    fn level_name(level: Level) -> String {
        level.name().to_owned()
    }
}
