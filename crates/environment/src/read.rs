//! Reading TOML values with their places, collecting every mistake.
//!
//! serde stops at the first mistake and loses places in anything but plain
//! structs; the parser's own tree keeps both.

use std::{borrow::Cow, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::mistake::Sink;

/// A value and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What can be read out of a TOML value.
pub(crate) trait Read: Sized {
    /// The type in words, with its article: "a string".
    const TYPE: &'static str;

    /// The value, or nothing after the mistake was added to the sink.
    fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self>;
}

/// A table that is read field by field. The names asked for are the names
/// that exist: what is left at the end is unknown.
pub(crate) struct Fields<'a, 'i> {
    table: DeTable<'i>,
    span: Range<usize>,
    field: String,
    known: Vec<&'static str>,
    sink: &'a mut Sink,
}

impl<'a, 'i> Fields<'a, 'i> {
    pub(crate) fn new(
        table: DeTable<'i>,
        span: Range<usize>,
        field: &str,
        sink: &'a mut Sink,
    ) -> Self {
        Self {
            table,
            span,
            field: field.to_owned(),
            known: Vec::new(),
            sink,
        }
    }

    /// A field that may be left out.
    pub(crate) fn optional<T: Read>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let (_, value) = self.table.remove_entry(name)?;
        T::read(value, &self.path(name), self.sink)
    }

    /// A field that must be there; `example` is shown where it is not.
    pub(crate) fn required<T: Read>(&mut self, name: &'static str, example: &str) -> Option<T> {
        if !self.table.contains_key(name) {
            self.known.push(name);
            let path = self.path(name);
            let fix = format!("add {example}");
            self.sink
                .structure(&self.span, path, format!("{name} is missing"), fix);
            return None;
        }
        self.optional(name)
    }

    /// Reports what nobody asked for.
    pub(crate) fn finish(self) {
        for (key, _) in &self.table {
            let name: &str = key.get_ref();
            let path = self.path(name);
            let fix = match closest(name, &self.known) {
                Some(close) => format!("did you mean {close}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.sink.structure(&key.span(), path, "unknown field", fix);
        }
    }

    fn path(&self, name: &str) -> String {
        if self.field.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.field)
        }
    }
}

/// The known name that somebody most likely meant.
pub(crate) fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Adds the mistake of a wrong type.
fn wrong_type(value: &Spanned<DeValue<'_>>, expected: &str, field: &str, sink: &mut Sink) {
    let found = value.get_ref();
    let article = match found {
        DeValue::Integer(_) | DeValue::Array(_) => "an",
        _ => "a",
    };
    let problem = format!("expected {expected}, found {article} {}", found.type_str());
    let fix = match found {
        DeValue::Integer(number) if expected == String::TYPE => {
            format!("write it in quotes: \"{number}\"")
        }
        DeValue::Float(number) if expected == String::TYPE => {
            format!("write it in quotes: \"{number}\"")
        }
        DeValue::String(text) if expected.starts_with("a list") => {
            format!("write it in brackets: [\"{text}\"]")
        }
        DeValue::String(_) if expected == bool::TYPE || expected == u32::TYPE => {
            "write it without quotes".to_owned()
        }
        _ => String::new(),
    };
    sink.add(&value.span(), field, problem, fix);
}

impl Read for String {
    const TYPE: &'static str = "a string";

    fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text.to_string());
        }
        wrong_type(&value, Self::TYPE, field, sink);
        None
    }
}

impl Read for bool {
    const TYPE: &'static str = "true or false";

    fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self> {
        if let DeValue::Boolean(value) = value.get_ref() {
            return Some(*value);
        }
        wrong_type(&value, Self::TYPE, field, sink);
        None
    }
}

impl Read for u32 {
    const TYPE: &'static str = "a whole number";

    fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self> {
        let DeValue::Integer(number) = value.get_ref() else {
            wrong_type(&value, Self::TYPE, field, sink);
            return None;
        };
        let parsed = Self::from_str_radix(number.as_str(), number.radix()).ok();
        if parsed.is_none() {
            let problem = format!("expected {} from 0 to {}", Self::TYPE, Self::MAX);
            sink.add(&value.span(), field, problem, "");
        }
        parsed
    }
}

impl<T: Read> Read for At<T> {
    const TYPE: &'static str = T::TYPE;

    fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self> {
        let span = value.span();
        T::read(value, field, sink).map(|value| Self { value, span })
    }
}

impl<T: Read> Read for Vec<T> {
    const TYPE: &'static str = "a list in brackets";

    fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self> {
        if !value.get_ref().is_array() {
            wrong_type(&value, Self::TYPE, field, sink);
            return None;
        }
        let DeValue::Array(items) = value.into_inner() else {
            return None;
        };
        // All items are read, so that all wrong ones are reported; a list
        // with a wrong one is no list.
        let items: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| T::read(item, &format!("{field}[{index}]"), sink))
            .collect();
        items.into_iter().collect()
    }
}

/// Reads a table with `fields`, which asks for each field and calls
/// [`Fields::finish`].
pub(crate) fn table<T>(
    value: Spanned<DeValue<'_>>,
    field: &str,
    sink: &mut Sink,
    fields: impl FnOnce(Fields<'_, '_>) -> T,
) -> Option<T> {
    if !value.get_ref().is_table() {
        wrong_type(&value, "a table", field, sink);
        return None;
    }
    let span = value.span();
    let DeValue::Table(inner) = value.into_inner() else {
        return None;
    };
    Some(fields(Fields::new(inner, span, field, sink)))
}
