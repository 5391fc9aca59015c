//! Progress of a run on stderr.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use trunkline_pipeline::{Address, Event, FailureKind, Happening, Listener, Verb};

use super::words;

/// How often a step that waits says so where there is no terminal.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// Shows the events of a run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<State>>);

struct State {
    how: How,
    start: Instant,
    running: BTreeMap<(Address, Verb), Running>,
    /// What was only stopped: what comes after it is no news.
    stopped: BTreeSet<Address>,
    /// Nothing is painted before the first step: a question may be asked.
    walking: bool,
    total: usize,
    done: usize,
}

enum How {
    Silent,
    Plain,
    Terminal {
        lines: MultiProgress,
        last: ProgressBar,
        colour: bool,
    },
}

struct Running {
    since: Instant,
    said: Instant,
    waits_for: String,
    line: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn silent() -> Self {
        Self::new(How::Silent)
    }

    pub(crate) fn plain() -> Self {
        Self::new(How::Plain)
    }

    pub(crate) fn terminal(colour: bool) -> Self {
        let lines = MultiProgress::new();
        let last = lines.add(ProgressBar::new_spinner().with_style(style(" {msg}")));
        let progress = Self::new(How::Terminal {
            lines,
            last,
            colour,
        });
        progress.tick();
        progress
    }

    fn new(how: How) -> Self {
        let start = Instant::now();
        let state = State {
            how,
            start,
            running: BTreeMap::new(),
            stopped: BTreeSet::new(),
            walking: false,
            total: 0,
            done: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What hears the events.
    pub(crate) fn listener(&self) -> Arc<dyn Listener> {
        let progress = self.clone();
        Arc::new(move |event: &Event| progress.lock().hear(event))
    }

    /// Prints lines above the running steps.
    pub(crate) fn print(&self, text: &str) {
        match &self.lock().how {
            How::Silent => {}
            How::Plain => tell!("{}", text.trim_end_matches('\n')),
            How::Terminal { lines, .. } => {
                lines.suspend(|| tell!("{}", text.trim_end_matches('\n')));
            }
        }
    }

    /// Takes the running lines away.
    pub(crate) fn finish(&self) {
        let state = self.lock();
        if let How::Terminal { lines, last, .. } = &state.how {
            last.finish_and_clear();
            let _ = lines.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the times of a terminal moving, until nobody holds the progress.
    fn tick(&self) {
        let state = Arc::downgrade(&self.0);
        std::thread::spawn(move || {
            while let Some(state) = state.upgrade() {
                state
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .repaint();
                drop(state);
                std::thread::sleep(Duration::from_millis(250));
            }
        });
    }
}

impl State {
    fn hear(&mut self, event: &Event) {
        match &event.what {
            Happening::Observed { .. } => {}
            Happening::Planned { steps, .. } => (self.total, self.done) = (*steps, 0),
            Happening::Started { address, verb } => self.started(address, *verb),
            Happening::Waiting {
                address,
                verb,
                what,
            } => self.waits(address, *verb, what),
            Happening::Retrying {
                address,
                verb,
                failure,
                pause,
                ..
            } => {
                let what = format!("again in {}: {failure}", words::time(*pause));
                self.waits(address, *verb, &what);
            }
            Happening::Done {
                address,
                verb,
                took,
            } => {
                self.done += 1;
                let line = format!("{} {}", name(address, *verb), words::time(*took));
                self.ended(address, *verb, '✓', &line);
            }
            Happening::Failed {
                address,
                verb,
                failure,
                ..
            } if failure.kind == FailureKind::Stopped && failure.cause.code.is_empty() => {
                self.stopped.insert(address.clone());
                let line = format!("{} stopped", name(address, *verb));
                self.ended(address, *verb, '■', &line);
            }
            Happening::Failed {
                address,
                verb,
                failure,
                ..
            } => {
                let line = format!("{} {failure}", name(address, *verb));
                self.ended(address, *verb, '✗', &line);
            }
            Happening::Skipped { because, .. } if self.stopped.contains(because) => {}
            Happening::Skipped {
                address,
                verb,
                because,
            } => {
                self.say(
                    '○',
                    &format!("{} not begun: {because} failed", name(address, *verb)),
                );
            }
            Happening::NotStarted { .. } => {}
            Happening::Note { text } => self.say('!', text),
        }
    }

    fn started(&mut self, address: &Address, verb: Verb) {
        let now = Instant::now();
        self.walking = true;
        let line = match &self.how {
            How::Terminal { lines, last, .. } => {
                let line = ProgressBar::new_spinner().with_style(style(" {msg}"));
                Some(lines.insert_before(last, line))
            }
            How::Plain => {
                tell!("{} ● {verb} {address}", self.clock());
                None
            }
            How::Silent => None,
        };
        let running = Running {
            since: now,
            said: now,
            waits_for: String::new(),
            line,
        };
        self.running.insert((address.clone(), verb), running);
        self.repaint();
    }

    fn waits(&mut self, address: &Address, verb: Verb, what: &str) {
        let clock = self.clock();
        let plain = matches!(self.how, How::Plain);
        if let Some(running) = self.running.get_mut(&(address.clone(), verb)) {
            what.clone_into(&mut running.waits_for);
            if plain && running.said.elapsed() >= SAY_AGAIN {
                running.said = Instant::now();
                let since = words::time(running.since.elapsed());
                tell!("{clock} … {address} {since}, waiting: {what}");
            }
        }
        self.repaint();
    }

    fn ended(&mut self, address: &Address, verb: Verb, sign: char, line: &str) {
        if let Some(Running {
            line: Some(bar), ..
        }) = self.running.remove(&(address.clone(), verb))
        {
            bar.finish_and_clear();
        }
        self.say(sign, line);
        self.repaint();
    }

    /// One line that stays.
    fn say(&self, sign: char, line: &str) {
        match &self.how {
            How::Silent => {}
            How::Plain => tell!("{} {sign} {line}", self.clock()),
            How::Terminal { lines, colour, .. } => {
                let code = match sign {
                    '✓' => 32,
                    '✗' => 31,
                    _ => 33,
                };
                let sign = if *colour {
                    format!("\x1b[{code}m{sign}\x1b[0m")
                } else {
                    sign.to_string()
                };
                let _ = lines.println(format!(" {sign} {line}"));
            }
        }
    }

    fn clock(&self) -> String {
        format!("{:>7}", words::time(self.start.elapsed()))
    }

    fn repaint(&self) {
        let How::Terminal { last, .. } = &self.how else {
            return;
        };
        if !self.walking {
            return;
        }
        for ((address, verb), running) in &self.running {
            let since = words::time(running.since.elapsed());
            let waiting = match running.waits_for.as_str() {
                "" => String::new(),
                what => format!("  waiting: {what}"),
            };
            let text = format!(
                "● {} {}{waiting}",
                name(address, *verb),
                words::pad(&since, 6)
            );
            if let Some(line) = &running.line {
                line.set_message(words::cut(&text, words::width() - 2));
            }
        }
        if self.total > 0 {
            let took = words::time(self.start.elapsed());
            last.set_message(format!("{}/{} steps · {took}", self.done, self.total));
        }
    }
}

fn name(address: &Address, verb: Verb) -> String {
    let text = match verb {
        Verb::Create => address.to_string(),
        Verb::Update | Verb::Delete => format!("{verb} {address}"),
    };
    words::pad(&text, 38)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
