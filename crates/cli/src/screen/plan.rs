//! The plan as a screen, and its header.

use std::fmt;

use trunkline_pipeline::{Change, Environment, Kept, Plan, Planned, Step, Verb, Wish};

use super::words;
use crate::{args::Target, context::hint};

/// The first line: which environment, where, at which commit.
pub(crate) struct Header {
    name: String,
    target: String,
    line: String,
}

/// Field changes shown without `--detail`.
const SHORT: usize = 4;
/// Where the second column begins.
const COLUMN: usize = 36;

impl Header {
    pub(crate) fn new(environment: &Environment, target: &Target, commit: Option<&str>) -> Self {
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
            target: target.environment.clone(),
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
    remarks(&mut text, planned);
    text.push_str(&format!("\n{}\n", summary_line(plan)));
    match planned.wish {
        Wish::Deployed if plan.unknown.is_empty() => {
            text.push_str(&format!(
                "Run: {}\n",
                hint(&format!("deploy {}", header.target))
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

/// Nothing to do; what is not ours is said all the same.
pub(crate) fn nothing(header: &Header, planned: &Planned) -> String {
    let took = words::time(planned.observed_in);
    let present = words::count(planned.plan.present, "resource");
    let mut text = format!("{} is as wished: {present} ({took})\n", header.name);
    remarks(&mut text, planned);
    text
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
fn remarks(text: &mut String, planned: &Planned) {
    let plan = &planned.plan;
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
            text.push_str(&kept_line('=', kept));
            text.push('\n');
        }
    }
    if !plan.unknown.is_empty() {
        text.push_str(&match planned.entering.steps.first() {
            None => {
                "\ncould not be read: nothing is planned for it, a run would refuse\n".to_owned()
            }
            Some(step) => format!(
                "\ncould not be read yet: {} comes first, then a plan is made anew\n",
                words::resource(&step.address)
            ),
        });
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

/// Something that stays: what, and why.
pub(crate) fn kept_line(sign: char, kept: &Kept) -> String {
    let id = if kept.address.name() == kept.id {
        String::new()
    } else {
        format!(" {}", kept.id)
    };
    let line = format!(
        "  {sign} {}{id}: {}",
        words::resource(&kept.address),
        kept.why
    );
    words::wrap(&line, words::width(), "    ")
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkline_engine::{Action, DeleteOrder, Draft};
    use trunkline_pipeline::Address;

    use super::*;

    fn step(verb: Verb, address: &str) -> Step {
        let action = Action {
            layer: "x".into(),
            version: 1,
            body: serde_json::Value::Null,
        };
        Step::new(verb, address.parse().unwrap(), "x", action)
    }

    fn header() -> Header {
        let line = "sandbox · eu-central-1 · account 1234…9012 · EKS 1.35 · commit 3f9c2e1";
        Header {
            name: "sandbox".into(),
            target: "sandbox".into(),
            line: line.into(),
        }
    }

    fn planned(steps: Vec<Step>) -> Planned {
        let draft = Draft {
            steps,
            unknown: vec![(
                Address::new("cluster", "cluster", "main"),
                "EKS DescribeCluster: AccessDeniedException: not authorized to perform this".into(),
            )],
            kept: vec![Kept {
                address: Address::new("net", "volume", "vol-0ab"),
                id: "vol-0ab".into(),
                why: "it holds the data of redis/data-redis-0, 8 GiB".into(),
                command: "trunkline destroy sandbox --delete-data".into(),
            }],
            foreign: vec!["security group rule sgr-0f3 on nodes: tcp/22 from 0.0.0.0/0".into()],
        };
        let plan = Plan::assemble([draft], &DeleteOrder::default(), 104).unwrap();
        Planned::new(Wish::Deployed, plan, Duration::from_millis(420))
    }

    #[test]
    fn a_plan_fits_eighty_columns_and_needs_no_colour() {
        let planned = planned(vec![
            step(Verb::Create, "net/nat-gateway/euc1-az3")
                .about("zones went from 2 to 3")
                .takes(Duration::from_secs(110)),
            step(Verb::Update, "net/route-table/private-euc1-az2")
                .about("default route to the NAT gateway of its zone")
                .changes(vec![Change::new("route 0.0.0.0/0", "nat-0ab", "nat-0cd")])
                .after([Address::new("net", "nat-gateway", "euc1-az3")]),
            step(Verb::Delete, "storage/bucket/egress").loses("12 objects"),
        ]);
        let screen = show(&header(), &planned, false, false);
        insta::assert_snapshot!(screen);
        let longest = screen.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{longest:?}");
        assert!(show(&header(), &planned, false, true).contains('\x1b'));
    }
}
