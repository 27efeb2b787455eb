//! The figures, and what becomes of them: medians, ratios, tables, verdicts.
//!
//! [`Samples`] has every round of one part; nothing is averaged before it is
//! here. [`Report`] prints what it is told as Markdown, and writes the same
//! into its directory: `compare.md`, `rounds.tsv` and the plots.

use crate::Failure;
use crate::plot::Drawing;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

/// One figure of one round.
#[derive(Clone, Debug)]
struct Sample {
    work: String,
    server: String,
    /// From 0.
    round: u32,
    /// What was measured, with its unit: `requests/s`.
    measure: &'static str,
    value: f64,
}

/// All figures of one part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    all: Vec<Sample>,
}

impl Samples {
    /// Keeps one figure. A figure that is none (NaN) is left out: a median of
    /// the others is still one.
    pub(crate) fn add(
        &mut self,
        work: &str,
        server: &str,
        round: u32,
        measure: &'static str,
        value: f64,
    ) {
        if value.is_finite() {
            self.all.push(Sample {
                work: work.to_owned(),
                server: server.to_owned(),
                round,
                measure,
                value,
            });
        }
    }

    /// The median over the rounds; `None` where nothing was measured.
    pub(crate) fn median(&self, work: &str, server: &str, measure: &str) -> Option<f64> {
        median(self.values(work, server, measure))
    }

    /// The median of `server` divided by that of `base`; `None` where one of
    /// them is missing, or the latter is 0.
    pub(crate) fn ratio(&self, work: &str, server: &str, measure: &str, base: &str) -> Option<f64> {
        let base = self.median(work, base, measure)?;
        let own = self.median(work, server, measure)?;
        (base != 0.0).then_some(own / base)
    }

    /// Half of what lies between the least and the greatest round, in parts of
    /// the median: how far to trust it. One round alone says nothing of it.
    pub(crate) fn spread(&self, work: &str, server: &str, measure: &str) -> Option<f64> {
        let values = self.values(work, server, measure);
        if values.len() < 2 {
            return None;
        }
        let least = values.iter().copied().reduce(f64::min)?;
        let most = values.iter().copied().reduce(f64::max)?;
        let median = median(values)?;
        (median != 0.0).then_some((most - least) / 2.0 / median)
    }

    fn values(&self, work: &str, server: &str, measure: &str) -> Vec<f64> {
        let of_it = |sample: &&Sample| {
            sample.work == work && sample.server == server && sample.measure == measure
        };
        let found = self.all.iter().filter(of_it);
        found.map(|sample| sample.value).collect()
    }

    /// The least median among `servers`, and whose it is.
    pub(crate) fn least<'s>(
        &self,
        work: &str,
        servers: &[&'s str],
        measure: &str,
    ) -> Option<(&'s str, f64)> {
        let medians = servers
            .iter()
            .filter_map(|&server| Some((server, self.median(work, server, measure)?)));
        medians.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// The greatest median among `servers`, and whose it is.
    pub(crate) fn most<'s>(
        &self,
        work: &str,
        servers: &[&'s str],
        measure: &str,
    ) -> Option<(&'s str, f64)> {
        let medians = servers
            .iter()
            .filter_map(|&server| Some((server, self.median(work, server, measure)?)));
        medians.max_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((values.get(middle - 1)? + upper) / 2.0)
}

/// The value below which `share` (0 to 1) of the values are; sorts them.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a vector, within its bounds"
    )]
    let at = (last as f64 * share).round() as usize;
    values.get(at.min(last)).copied()
}

/// A figure with three digits that mean something: `6.21`, `48.3`, `160412`.
pub(crate) fn figure(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// A ratio: `1.07`.
pub(crate) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// A spread: `±3 %`.
pub(crate) fn spread(value: Option<f64>) -> String {
    value.map_or_else(
        || "–".to_owned(),
        |value| format!("±{:.0} %", value * 100.0),
    )
}

/// A table, shown as Markdown with its columns aligned.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            rows: vec![columns.iter().map(|&name| name.to_owned()).collect()],
        }
    }

    /// Adds a row: the first cell is a name, the others are figures.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        writeln!(out, "**{}**\n", self.title)?;
        for (number, row) in self.rows.iter().enumerate() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                if column == 0 {
                    write!(out, "| {cell:width$} ")?;
                } else {
                    write!(out, "| {cell:>width$} ")?;
                }
            }
            writeln!(out, "|")?;
            if number == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let rule = "-".repeat(width - usize::from(column > 0));
                    write!(out, "| {rule}{} ", if column > 0 { ":" } else { "" })?;
                }
                writeln!(out, "|")?;
            }
        }
        Ok(())
    }
}

/// A target: what was asked, and what was measured.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    what: String,
    asked: String,
    measured: String,
    /// `None`: it could not be measured.
    met: Option<bool>,
}

impl Verdict {
    /// A figure that may not be above `limit`. `unit` follows the numbers as it
    /// is (` µs`), and is empty for ratios.
    pub(crate) fn at_most(what: &str, measured: Option<f64>, limit: f64, unit: &str) -> Self {
        Self {
            what: what.to_owned(),
            asked: format!("≤ {limit}{unit}"),
            measured: measured.map_or_else(String::new, |value| format!("{value:.2}{unit}")),
            met: measured.map(|value| value <= limit),
        }
    }

    /// A figure that may not be below `limit`.
    pub(crate) fn at_least(what: &str, measured: Option<f64>, limit: f64, unit: &str) -> Self {
        Self {
            what: what.to_owned(),
            asked: format!("≥ {limit}{unit}"),
            measured: measured.map_or_else(String::new, |value| format!("{value:.2}{unit}")),
            met: measured.map(|value| value >= limit),
        }
    }
}

/// What is printed and written.
pub(crate) struct Report {
    out: PathBuf,
    part: &'static str,
    parts: u32,
    text: String,
    rounds: String,
    verdicts: Vec<Verdict>,
}

impl Report {
    /// Makes the directory `out` where there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn new(out: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
        Ok(Self {
            out: out.to_owned(),
            part: "",
            parts: 0,
            text: String::new(),
            rounds: "part\twork\tserver\tround\tmeasure\tvalue\n".to_owned(),
            verdicts: Vec::new(),
        })
    }

    /// What follows belongs to this part.
    pub(crate) fn begin(&mut self, part: &'static str, about: &str) {
        self.part = part;
        self.parts += 1;
        self.say(&format!("## {part}: {about}"));
    }

    /// Prints and keeps a paragraph.
    pub(crate) fn say(&mut self, paragraph: &str) {
        println!("{paragraph}\n");
        self.text.push_str(paragraph);
        self.text.push_str("\n\n");
    }

    pub(crate) fn table(&mut self, table: &Table) {
        self.say(table.to_string().trim_end());
    }

    /// Keeps every round of the part.
    pub(crate) fn samples(&mut self, samples: &Samples) {
        for sample in &samples.all {
            // Writing to a string does not fail.
            let _ = writeln!(
                self.rounds,
                "{}\t{}\t{}\t{}\t{}\t{}",
                self.part, sample.work, sample.server, sample.round, sample.measure, sample.value
            );
        }
    }

    /// Prints and keeps the targets of the part; all come again at the end.
    pub(crate) fn verdicts(&mut self, verdicts: Vec<Verdict>) {
        if !verdicts.is_empty() {
            self.table(&verdict_table("Targets", &verdicts));
        }
        self.verdicts.extend(verdicts);
    }

    /// Writes `NAME.svg`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn plot(&mut self, name: &str, plot: &dyn Drawing) -> Result<(), Failure> {
        let path = self.out.join(format!("{name}.svg"));
        write(&path, &plot.svg())?;
        self.say(&format!("![{}]({name}.svg)", plot.title()));
        Ok(())
    }

    /// Writes what there is so far: who stops a long run has the parts that
    /// were finished.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        write(&self.out.join("compare.md"), &self.text)?;
        write(&self.out.join("rounds.tsv"), &self.rounds)
    }

    /// All targets in one table, and where everything is.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        if self.parts > 1 && !self.verdicts.is_empty() {
            let table = verdict_table("All targets", &self.verdicts);
            self.table(&table);
        }
        self.save()?;
        println!("written: {}", self.out.display());
        Ok(())
    }
}

fn verdict_table(title: &str, verdicts: &[Verdict]) -> Table {
    let mut table = Table::new(title, &["target", "asked", "measured", ""]);
    for verdict in verdicts {
        let met = match verdict.met {
            None => "not measured",
            Some(true) => "met",
            Some(false) => "missed",
        };
        table.row(vec![
            verdict.what.clone(),
            verdict.asked.clone(),
            verdict.measured.clone(),
            met.to_owned(),
        ]);
    }
    table
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}
