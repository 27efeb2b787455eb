//! The findings as a program reads them: one object.

use super::table::shown;
use crate::client::Target;
use crate::probe::Row;
use crate::probe::site::Site;
use crate::probe::verdict::{Fault, Finding, Verdict};
use serde_json::{Map, Value, json};

/// What came of all rules.
pub(super) fn findings(target: &Target, site: &Site, findings: &[Finding]) -> String {
    let mut counts = Map::new();
    for name in ["pass", "fail", "differs", "skipped", "error"] {
        let same = |finding: &&Finding| finding.verdict.name() == name;
        counts.insert(name.to_owned(), findings.iter().filter(same).count().into());
    }
    let musts = findings
        .iter()
        .filter(|finding| finding.is_broken())
        .count();
    counts.insert("fail_must".to_owned(), musts.into());
    let object = json!({
        "target": target.to_string(),
        "host": site.host,
        "path": site.path,
        "counts": counts,
        "rows": findings.iter().map(finding).collect::<Vec<_>>(),
    });
    format!("{object}\n")
}

/// The rules themselves.
pub(super) fn list(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows.iter().map(rule).collect();
    format!("{}\n", json!({ "rows": rows }))
}

fn rule(row: &Row) -> Value {
    let needs = row.needs.first().map(|need| need.lacking());
    json!({
        "row": row.number,
        "rule": row.title,
        "source": row.source,
        "level": row.level.name(),
        "needs": needs,
    })
}

fn finding(finding: &Finding) -> Value {
    let row = &finding.row;
    let level = match &finding.verdict {
        Verdict::Fail(level) => *level,
        Verdict::Pass | Verdict::Differs | Verdict::Skipped(_) | Verdict::Error(_) => row.level,
    };
    json!({
        "row": row.number,
        "rule": row.title,
        "source": row.source,
        "level": level.name(),
        "verdict": finding.verdict.name(),
        "remark": finding.remark(),
        "tried": finding.tried,
        "faults": finding.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn fault(fault: &Fault) -> Value {
    json!({
        "case": fault.case,
        "split": fault.split.name(),
        "level": fault.level.name(),
        "wrong": fault.wrong,
        "sent": shown(&fault.sent),
        "got": shown(&fault.got),
    })
}
