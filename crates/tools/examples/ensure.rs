//! Sees to it that the named tools (or all) are there, and prints where.
//! `cargo xtask tools` is the same with a table.

use trunkline_tools::{Progress, Tool, ensure};

struct Stderr;

impl Progress for Stderr {
    fn line(&self, tool: Tool, text: &str) {
        eprintln!("{tool}: {text}");
    }
}

fn main() -> anyhow::Result<()> {
    let named: Vec<Tool> = std::env::args()
        .skip(1)
        .map(|name| name.parse())
        .collect::<Result<_, _>>()?;
    let tools = if named.is_empty() {
        Tool::ALL.to_vec()
    } else {
        named
    };
    for found in ensure(&tools, &Stderr)? {
        println!(
            "{} {} {} {}",
            found.tool,
            found.version,
            found.origin,
            found.path.display()
        );
    }
    Ok(())
}
