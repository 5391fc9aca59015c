//! Tests of the walk on any graph, with time that does not pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use proptest::prelude::*;
use trunkline_ids::Address;

use super::*;
use crate::{Cause, Create, Intent, NoIntents, plan::tests as plans};

/// What a step does when it is performed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Works,
    /// Fails in passing this many times, then works.
    Passing(u32),
    /// Never works.
    Broken,
}

/// Notes when each step starts and ends, on one counter.
struct Recorder {
    fates: BTreeMap<(Address, Verb), Fate>,
    clock: AtomicUsize,
    runs: Mutex<Vec<Run>>,
    /// Asks to stop at the start of this many steps.
    stop_at: Option<(usize, Stop)>,
}

#[derive(Debug, Clone)]
struct Run {
    step: (Address, Verb),
    start: usize,
    end: Option<usize>,
    worked: bool,
}

impl Recorder {
    fn new(plan: &Plan, fates: &[Fate]) -> Self {
        let steps = plan
            .steps
            .iter()
            .map(|step| (step.address.clone(), step.verb));
        let fates = steps.zip(fates.iter().copied().cycle()).collect();
        let runs = Mutex::default();
        Self {
            fates,
            clock: AtomicUsize::new(0),
            runs,
            stop_at: None,
        }
    }

    fn tries(&self, step: &(Address, Verb)) -> Vec<Run> {
        let runs = self.runs.lock().unwrap();
        runs.iter()
            .filter(|run| run.step == *step)
            .cloned()
            .collect()
    }
}

#[async_trait]
impl Performer for Recorder {
    async fn perform(&self, step: &Step, cx: &Applying) -> Result<Outputs, Failure> {
        let key = (step.address.clone(), step.verb);
        let tried = u32::try_from(self.tries(&key).len()).unwrap();
        let index = {
            let mut runs = self.runs.lock().unwrap();
            let start = self.clock.fetch_add(1, SeqCst);
            runs.push(Run {
                step: key.clone(),
                start,
                end: None,
                worked: false,
            });
            if let Some((at, stop)) = &self.stop_at
                && runs.len() == *at
            {
                stop.soon();
            }
            runs.len() - 1
        };
        tokio::time::sleep(step.estimate).await;
        let worked = match self.fates[&key] {
            Fate::Works => true,
            Fate::Passing(times) => tried >= times,
            Fate::Broken => false,
        };
        let _ = cx;
        let mut runs = self.runs.lock().unwrap();
        runs[index].end = Some(self.clock.fetch_add(1, SeqCst));
        runs[index].worked = worked;
        let kind = if self.fates[&key] == Fate::Broken {
            FailureKind::Invalid
        } else {
            FailureKind::Retry
        };
        if worked {
            Ok(Outputs::new())
        } else {
            Err(Failure::new(kind, Cause::default()).clear())
        }
    }
}

fn options() -> WalkOptions {
    WalkOptions {
        slots: Slots::new(&[("x", 3)], 1),
        attempts: 4,
        first_pause: Duration::from_secs(1),
        consistency_window: Duration::from_secs(60),
        intents: Arc::new(NoIntents),
        events: Events::default(),
    }
}

/// Runs with a clock that jumps over sleeps.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn any_fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Works),
        2 => (1..3u32).prop_map(Fate::Passing),
        1 => Just(Fate::Broken),
    ];
    prop::collection::vec(fate, 1..40)
}

proptest! {
    #[test]
    fn each_step_works_once_and_after_what_it_waits_for(
        plan in plans::any_plan(), fates in any_fates(),
    ) {
        let recorder = Recorder::new(&plan, &fates);
        let report = run(walk(&plan, &recorder, Outputs::new(), &options(), &Stop::new()));
        let key = |i: usize| (plan.steps[i].address.clone(), plan.steps[i].verb);
        let worked = |i: usize| recorder.tries(&key(i)).into_iter().find(|run| run.worked);
        for i in 0..plan.steps.len() {
            let tries = recorder.tries(&key(i));
            prop_assert!(tries.iter().filter(|run| run.worked).count() <= 1);
            let before: Vec<_> = plan.waits_for[i].iter().map(|b| worked(*b)).collect();
            match &report.steps[i].outcome {
                Outcome::Done => prop_assert!(tries.last().unwrap().worked),
                Outcome::Failed(_, n) => prop_assert_eq!(usize::try_from(*n).unwrap(), tries.len()),
                Outcome::Skipped(root) => {
                    prop_assert!(tries.is_empty());
                    prop_assert!(before.iter().any(Option::is_none));
                    prop_assert!(matches!(report.steps[*root].outcome, Outcome::Failed(..)));
                }
                Outcome::NotStarted => prop_assert!(false, "nobody stopped the run"),
            }
            if let Some(first) = tries.first() {
                for earlier in before {
                    prop_assert!(earlier.unwrap().end.unwrap() < first.start);
                }
            }
        }
    }

    #[test]
    fn nothing_starts_after_it_is_asked_to_stop(
        plan in plans::any_plan(), fates in any_fates(), at in 1..40usize,
    ) {
        let stop = Stop::new();
        let mut recorder = Recorder::new(&plan, &fates);
        recorder.stop_at = Some((at, stop.clone()));
        let report = run(walk(&plan, &recorder, Outputs::new(), &options(), &stop));
        let runs = recorder.runs.lock().unwrap();
        prop_assert!(runs.len() <= at);
        // What was under way was let end.
        prop_assert!(runs.iter().all(|run| run.end.is_some()));
        let never: BTreeSet<usize> = (0..plan.steps.len())
            .filter(|i| report.steps[*i].outcome == Outcome::NotStarted)
            .collect();
        for i in never {
            let step = (plan.steps[i].address.clone(), plan.steps[i].verb);
            prop_assert!(!runs.iter().any(|run| run.step == step));
        }
    }

    #[test]
    fn the_critical_path_is_how_long_it_took_when_slots_are_no_limit(plan in plans::any_plan()) {
        let recorder = Recorder::new(&plan, &[Fate::Works]);
        let mut options = options();
        options.slots = Slots::new(&[], 100);
        let report = run(walk(&plan, &recorder, Outputs::new(), &options, &Stop::new()));
        prop_assert_eq!(report.critical_path.estimate, plan.critical_path().estimate);
        prop_assert_eq!(report.took, plan.critical_path().estimate);
    }

    #[test]
    fn no_more_steps_run_at_once_than_there_are_slots(plan in plans::any_plan()) {
        let recorder = Recorder::new(&plan, &[Fate::Works]);
        run(walk(&plan, &recorder, Outputs::new(), &options(), &Stop::new()));
        let runs = recorder.runs.lock().unwrap();
        let end = |run: &Run| run.end.unwrap();
        for run in runs.iter() {
            let others = runs.iter().filter(|o| o.start <= run.start && end(o) > run.start).count();
            prop_assert!(others <= 3, "{others} at once");
        }
    }
}

#[test]
fn a_wait_holds_no_slot() {
    struct Waiter;
    #[async_trait]
    impl Performer for Waiter {
        async fn perform(&self, _: &Step, cx: &Applying) -> Result<Outputs, Failure> {
            let minute = async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(())
            };
            cx.wait("a minute", minute).await?;
            Ok(Outputs::new())
        }
    }
    let steps = (0..50)
        .map(|i| plans::step(Verb::Create, "a", &format!("n{i}"), &[]))
        .collect();
    let plan = plans::plan(steps, &plans::table()).unwrap();
    let report = run(walk(
        &plan,
        &Waiter,
        Outputs::new(),
        &options(),
        &Stop::new(),
    ));
    assert!(report.is_done());
    assert_eq!(report.took, Duration::from_secs(60));
}

#[test]
fn a_wait_is_left_when_the_run_is_stopped() {
    struct Waiter(Stop);
    #[async_trait]
    impl Performer for Waiter {
        async fn perform(&self, _: &Step, cx: &Applying) -> Result<Outputs, Failure> {
            self.0.soon();
            let hour = Duration::from_secs(3600);
            cx.poll("for ever", hour, hour, || async { Ok(None::<()>) })
                .await?;
            Ok(Outputs::new())
        }
    }
    let stop = Stop::new();
    let plan = plans::plan(
        vec![plans::step(Verb::Create, "a", "x", &[])],
        &plans::table(),
    )
    .unwrap();
    let report = run(walk(
        &plan,
        &Waiter(stop.clone()),
        Outputs::new(),
        &options(),
        &stop,
    ));
    let (_, failure, _) = report.failures().next().unwrap();
    assert_eq!(failure.kind, FailureKind::Stopped);
    assert_eq!(report.took, Duration::ZERO);
}

/// An AWS that makes a thing, loses its answer, and shows it only later.
struct Forgetful {
    made: Mutex<Vec<tokio::time::Instant>>,
    shown_after: Duration,
    lose_answers: usize,
}

impl Forgetful {
    async fn create(&self) -> Result<usize, Failure> {
        let mut made = self.made.lock().unwrap();
        made.push(tokio::time::Instant::now());
        if made.len() <= self.lose_answers {
            return Err(Failure::new(FailureKind::Retry, Cause::default()));
        }
        Ok(made.len())
    }

    async fn find(&self) -> Result<Option<usize>, Failure> {
        let made = self.made.lock().unwrap();
        let shown = made
            .iter()
            .filter(|at| at.elapsed() >= self.shown_after)
            .count();
        Ok((shown > 0).then_some(shown))
    }
}

#[async_trait]
impl Performer for Forgetful {
    async fn perform(&self, step: &Step, cx: &Applying) -> Result<Outputs, Failure> {
        Create::new(cx, &step.address)
            .by_mark(|| self.create(), || self.find())
            .await?;
        Ok(Outputs::new())
    }
}

/// A store with one intent left open by an earlier run.
struct LeftOpen(Intent);

#[async_trait]
impl Intents for LeftOpen {
    fn open(&self, address: &Address) -> Option<Intent> {
        (self.0.address == *address).then(|| self.0.clone())
    }

    async fn intend(&self, _: &Address) -> Result<Intent, Failure> {
        Ok(self.0.clone())
    }
}

fn made_by(aws: &Forgetful, options: &WalkOptions) -> usize {
    let plan = plans::plan(
        vec![plans::step(Verb::Create, "a", "x", &[])],
        &plans::table(),
    )
    .unwrap();
    let report = run(walk(&plan, aws, Outputs::new(), options, &Stop::new()));
    assert!(report.is_done(), "{report:?}");
    aws.made.lock().unwrap().len()
}

#[test]
fn a_lost_answer_makes_nothing_twice() {
    let aws = |lose_answers| Forgetful {
        made: Mutex::default(),
        shown_after: Duration::from_secs(10),
        lose_answers,
    };
    assert_eq!(made_by(&aws(1), &options()), 1);
    // The control: without the window the same run makes two.
    let mut careless = options();
    careless.consistency_window = Duration::ZERO;
    assert_eq!(made_by(&aws(1), &careless), 2);
}

#[test]
fn an_intent_left_open_is_looked_for_before_anything_is_made() {
    // The earlier run made one just now and was killed; it shows after 10 s.
    let earlier = || Forgetful {
        made: Mutex::default(),
        shown_after: Duration::from_secs(10),
        lose_answers: 0,
    };
    let address = Address::new("x", "a", "x");
    let intent = Intent {
        address,
        token: "t".into(),
        at: jiff::Timestamp::now(),
    };
    let mut with_intents = options();
    with_intents.intents = Arc::new(LeftOpen(intent));
    let make_one = |aws: &Forgetful, options: &WalkOptions| {
        let plan = plans::plan(
            vec![plans::step(Verb::Create, "a", "x", &[])],
            &plans::table(),
        )
        .unwrap();
        run(async {
            aws.create().await.unwrap();
            walk(&plan, aws, Outputs::new(), options, &Stop::new()).await
        });
        aws.made.lock().unwrap().len()
    };
    assert_eq!(make_one(&earlier(), &with_intents), 1);
    // The control: without intents the same run makes a second one.
    assert_eq!(make_one(&earlier(), &options()), 2);
}

/// An AWS whose looks all fail in passing.
struct Blind(Forgetful);

#[async_trait]
impl Performer for Blind {
    async fn perform(&self, step: &Step, cx: &Applying) -> Result<Outputs, Failure> {
        let find = || async { Err(Failure::new(FailureKind::Throttled, Cause::default()).clear()) };
        Create::new(cx, &step.address)
            .by_mark(|| self.0.create(), find)
            .await?;
        Ok(Outputs::new())
    }
}

#[test]
fn a_look_that_failed_is_not_read_as_absent() {
    let aws = Blind(Forgetful {
        made: Mutex::default(),
        shown_after: Duration::ZERO,
        lose_answers: 1,
    });
    let mut once = options();
    once.attempts = 1;
    let plan = plans::plan(
        vec![plans::step(Verb::Create, "a", "x", &[])],
        &plans::table(),
    )
    .unwrap();
    let report = run(walk(&plan, &aws, Outputs::new(), &once, &Stop::new()));
    assert_eq!(aws.0.made.lock().unwrap().len(), 1, "it was not sent again");
    let (_, failure, _) = report.failures().next().unwrap();
    assert!(failure.is_unclear(), "so its intent stays open");
}
