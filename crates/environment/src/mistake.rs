//! Mistakes in the file: each with its place, all of them reported at once.

use std::{fmt, ops::Range, sync::Arc};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

/// One mistake in an environment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mistake {
    /// The field, `network.cidr`; empty where the text is no TOML.
    pub field: String,
    /// What is wrong, and what was expected.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    #[serde(skip)]
    span: Range<usize>,
}

/// All mistakes of one file, in the order of the file.
///
/// Its [`Diagnostic`] shows the lines concerned; its `Display` is the title.
/// [`Mistakes::render`] draws it as a person should see it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{file} has {} mistake{}", .all.len(), if .all.len() == 1 { "" } else { "s" })]
pub struct Mistakes {
    file: String,
    text: Arc<NamedSource<String>>,
    all: Vec<Mistake>,
}

impl Mistakes {
    /// The label of the file, as the caller gave it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The mistakes, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Mistake] {
        &self.all
    }

    /// The report for people: the title, each line with what is wrong in it,
    /// and that nothing was changed. No line is longer than `width` unless a
    /// line of the file itself is; no colour is needed to read it.
    #[must_use]
    pub fn render(&self, width: usize) -> String {
        Report {
            mistakes: self,
            width,
        }
        .to_string()
    }
}

impl Diagnostic for Mistakes {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.all.iter().map(|mistake| {
            LabeledSpan::new_with_span(Some(mistake.sentence()), mistake.span.clone())
        })))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("nothing was changed"))
    }
}

impl Mistake {
    /// Problem and fix in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.fix.is_empty() {
            self.problem.clone()
        } else {
            format!("{}; {}", self.problem, self.fix)
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.sentence())
    }
}

/// Where mistakes are collected while a file is read and judged.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    all: Vec<(Range<usize>, String, String, String)>,
    broken: bool,
}

impl Sink {
    /// Adds a mistake at `span`.
    pub(crate) fn add(
        &mut self,
        span: &Range<usize>,
        field: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.all
            .push((span.clone(), field.into(), problem.into(), fix.into()));
    }

    /// Adds a mistake in the syntax. From here on fields may only seem to be
    /// missing or unknown, so that [`Self::structure`] is silent.
    pub(crate) fn syntax(&mut self, span: &Range<usize>, problem: impl Into<String>) {
        self.broken = true;
        self.add(span, "", problem, "");
    }

    /// Adds a mistake about a field that is missing or unknown.
    pub(crate) fn structure(
        &mut self,
        span: &Range<usize>,
        field: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        if !self.broken {
            self.add(span, field, problem, fix);
        }
    }

    /// Whether nothing was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All that was found, with lines and columns out of `text`.
    pub(crate) fn into_mistakes(self, file: &str, text: &str) -> Mistakes {
        let mut all: Vec<Mistake> = self
            .all
            .into_iter()
            .map(|(span, field, problem, fix)| {
                let span = within(text, span);
                let (line, column) = position(text, span.start);
                Mistake {
                    field,
                    problem,
                    fix,
                    line,
                    column,
                    span,
                }
            })
            .collect();
        all.sort_by_key(|mistake| mistake.span.start);
        Mistakes {
            file: file.to_owned(),
            text: Arc::new(NamedSource::new(file, text.to_owned())),
            all,
        }
    }
}

/// The span moved to character boundaries inside of the text: a span out of
/// the parser's recovery is not trusted to be one.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// Draws a [`Mistakes`].
struct Report<'a> {
    mistakes: &'a Mistakes,
    width: usize,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistakes { all, text, .. } = self.mistakes;
        writeln!(f, "{}", self.mistakes)?;
        let digits = all.iter().map(|mistake| mistake.line.to_string().len());
        let gutter = digits.max().unwrap_or(1).max(2);
        for (index, mistake) in all.iter().enumerate() {
            // One frame for all the mistakes of a line.
            if index == 0 || all[index - 1].line != mistake.line {
                let line = text.inner().lines().nth(mistake.line - 1).unwrap_or("");
                writeln!(f, "{:gutter$} ╭─[{}:{}]", "", mistake.line, mistake.column)?;
                let line = format!("{:gutter$} │ {}", mistake.line, plain(line));
                writeln!(f, "{}", line.trim_end())?;
            }
            self.underline(f, mistake, gutter)?;
        }
        writeln!(f, "nothing was changed")
    }
}

impl Report<'_> {
    /// The mark below the value and the sentence beside it, or below it where
    /// there is no room beside.
    fn underline(
        &self,
        f: &mut fmt::Formatter<'_>,
        mistake: &Mistake,
        gutter: usize,
    ) -> fmt::Result {
        let marked = &self.mistakes.text.inner()[mistake.span.clone()];
        let marked = marked.lines().next().unwrap_or("").chars().count().max(1);
        let indent = mistake.column - 1;
        let sentence = mistake.sentence();
        let margin = gutter + " · ".chars().count();
        write!(f, "{:gutter$} · {:indent$}{}", "", "", "─".repeat(marked))?;
        if margin + indent + marked + 1 + sentence.chars().count() <= self.width {
            return writeln!(f, " {sentence}");
        }
        writeln!(f)?;
        let longest = sentence.chars().count();
        // Below the mark, but never squeezed into a narrow column at the right.
        let indent = indent.min(self.width.saturating_sub(margin + longest.min(60)));
        for line in wrap(&sentence, self.width.saturating_sub(margin + indent)) {
            writeln!(f, "{:gutter$} · {:indent$}{line}", "", "")?;
        }
        Ok(())
    }
}

/// A line of the file without tabs and control characters, one column each:
/// what stands in a file must not steer the terminal.
fn plain(line: &str) -> String {
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
