//! The JSON schema of the file, for editors: made of the types that read it.

use crate::file::EnvironmentFile;

/// The JSON schema of an environment file, as pretty JSON with a newline at
/// its end: the contents of `environments/schema.json`.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(EnvironmentFile);
    // A schema is plain JSON; `{:#}` of its value cannot fail.
    format!("{:#}\n", schema.to_value())
}
