//! The plan as a screen, and its header.

use std::fmt;

use trunkline_pipeline::{Change, Environment, Plan, Planned, Step, Verb, Wish};

use super::words;
use crate::context::hint;

/// The first line: which environment, where, at which commit.
pub(crate) struct Header {
    name: String,
    line: String,
}

/// Field changes shown without `--detail`.
const SHORT: usize = 4;
/// Where the second column begins.
const COLUMN: usize = 36;

impl Header {
    pub(crate) fn new(environment: &Environment, commit: Option<&str>) -> Self {
        let mut line = format!(
            "{} · {} · account {} · EKS {}",
            environment.name(),
            environment.region(),
            words::account(environment.account().as_str()),
            environment.cluster().version,
        );
        if let Some(commit) = commit {
            line.push_str(&format!(" · commit {}", commit.get(..7).unwrap_or(commit)));
        }
        Self {
            name: environment.name().to_string(),
            line,
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// The whole plan.
pub(crate) fn show(header: &Header, planned: &Planned, detail: bool, colour: bool) -> String {
    let plan = &planned.plan;
    if plan.is_empty() && plan.unknown.is_empty() && plan.kept.is_empty() {
        return nothing(header, planned);
    }
    let paint = Paint(colour);
    let mut text = format!("{header}\n{}\n", observed(planned));
    let mut layers: Vec<&str> = Vec::new();
    for step in &plan.steps {
        if !layers.contains(&step.address.layer()) {
            layers.push(step.address.layer());
        }
    }
    for layer in layers {
        text.push_str(&format!("\n{layer}\n"));
        for step in plan
            .steps
            .iter()
            .filter(|step| step.address.layer() == layer)
        {
            line(&mut text, step, detail, &paint);
        }
    }
    remarks(&mut text, plan);
    text.push_str(&format!("\n{}\n", summary_line(plan)));
    match planned.wish {
        Wish::Deployed if plan.unknown.is_empty() => {
            text.push_str(&format!(
                "Run: {}\n",
                hint(&format!("deploy {}", header.name))
            ));
        }
        _ => {}
    }
    text
}

/// Two lines before a walk.
pub(crate) fn summary(header: &Header, planned: &Planned) -> String {
    format!(
        "{header}\n{}\n{}\n",
        observed(planned),
        summary_line(&planned.plan)
    )
}

/// Nothing to do.
pub(crate) fn nothing(header: &Header, planned: &Planned) -> String {
    let took = words::time(planned.observed_in);
    format!(
        "{} is as wished: {} resources ({took})\n",
        header.name, planned.plan.present
    )
}

fn observed(planned: &Planned) -> String {
    let took = words::time(planned.observed_in);
    format!("observed {} resources in {took}", planned.plan.present)
}

fn line(text: &mut String, step: &Step, detail: bool, paint: &Paint) {
    let name = words::resource(&step.address);
    let say = if step.about.is_empty() {
        &step.reason
    } else {
        &step.about
    };
    let estimate = match step.estimate.as_secs() {
        0..10 => String::new(),
        _ => words::about(step.estimate),
    };
    let room = words::width().saturating_sub(COLUMN + estimate.len() + 3);
    let head = format!(
        "  {} {}",
        words::sign(step.verb),
        words::cut(&name, COLUMN - 6)
    );
    let row = format!("{} {}", words::pad(&head, COLUMN), words::cut(say, room));
    let gap = words::width().saturating_sub(estimate.len() + 1);
    let row = if estimate.is_empty() {
        row
    } else {
        format!("{} {estimate}", words::pad(&row, gap))
    };
    text.push_str(&paint.verb(step.verb, row.trim_end()));
    text.push('\n');
    if let Some(loss) = &step.loses {
        text.push_str(&format!("      its data would be lost: {loss}\n"));
    }
    let short = if step.verb == Verb::Update { SHORT } else { 0 };
    let shown = if detail {
        step.changes.len()
    } else {
        short.min(step.changes.len())
    };
    for change in &step.changes[..shown] {
        text.push_str(&format!("{}\n", change_line(change, detail)));
    }
    if shown < step.changes.len() && step.verb == Verb::Update {
        text.push_str(&format!(
            "      … {} more: --detail\n",
            step.changes.len() - shown
        ));
    }
}

fn change_line(change: &Change, detail: bool) -> String {
    let to = change.to.as_ref().map(ToString::to_string);
    let values = match (&change.from, to) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (Some(from), None) => format!("{from} → nothing"),
        (None, Some(to)) => to,
        (None, None) => String::new(),
    };
    let line = format!("      {}: {values}", change.field);
    if detail {
        line
    } else {
        words::cut(&line, words::width())
    }
}

/// What is not a step: foreign, kept, unknown.
fn remarks(text: &mut String, plan: &Plan) {
    if !plan.foreign.is_empty() {
        text.push_str("\nnot mine, left alone\n");
        for foreign in &plan.foreign {
            text.push_str(&words::wrap(
                &format!("  ! {foreign}"),
                words::width(),
                "    ",
            ));
            text.push('\n');
        }
    }
    if !plan.kept.is_empty() {
        text.push_str("\nkept on purpose\n");
        for kept in &plan.kept {
            let line = format!("  = {}   {}: {}", kept.address, kept.id, kept.why);
            text.push_str(&words::wrap(&line, words::width(), "    "));
            text.push('\n');
        }
    }
    if !plan.unknown.is_empty() {
        text.push_str("\ncould not be read: nothing is planned for it, a deploy would refuse\n");
        for (address, why) in &plan.unknown {
            text.push_str(&words::wrap(
                &format!("  ? {address}: {why}"),
                words::width(),
                "    ",
            ));
            text.push('\n');
        }
    }
}

fn summary_line(plan: &Plan) -> String {
    let (create, update, delete) = (
        plan.count(Verb::Create),
        plan.count(Verb::Update),
        plan.count(Verb::Delete),
    );
    let path = plan.critical_path();
    let names: Vec<String> = path
        .steps
        .iter()
        .map(|i| words::resource(&plan.steps[*i].address))
        .collect();
    let counts = format!("{update} to change, {create} to add, {delete} to destroy");
    if names.is_empty() {
        return counts;
    }
    let about = words::about(path.estimate);
    let line = format!("{counts} · {about} (critical path: {})", names.join(" → "));
    words::wrap(&line, words::width(), "  ")
}

struct Paint(bool);

impl Paint {
    fn verb(&self, verb: Verb, text: &str) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let code = match verb {
            Verb::Create => 32,
            Verb::Update => 33,
            Verb::Delete => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
