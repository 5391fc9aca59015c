//! What of a source file is code of the product: comments, literals and tests
//! are blanked, and every line keeps its number.

/// Blanks comments, literals and items under `#[cfg(test)]`.
pub(super) fn product_code(text: &str) -> String {
    without_tests(&without_words(text))
}

/// Blanks comments and the insides of literals.
fn without_words(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let before = code.chars().next_back();
        let length = word_length(rest, before);
        if length == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.extend(
                rest[..length]
                    .chars()
                    .map(|c| if c == '\n' { c } else { ' ' }),
            );
            rest = &rest[length..];
        }
    }
    code
}

/// The length of the comment or literal that the text begins with, or 0.
fn word_length(text: &str, before: Option<char>) -> usize {
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return string(text);
    }
    if text.starts_with('r') && !in_name || text.starts_with('r') && before == Some('b') {
        let hashes = text[1..].bytes().take_while(|b| *b == b'#').count();
        if text[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            return text[body..]
                .find(&end)
                .map_or(text.len(), |at| body + at + end.len());
        }
    }
    if text.starts_with('\'') {
        character(text)
    } else {
        0
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; a lifetime is none.
fn character(text: &str) -> usize {
    let mut inside = text.char_indices().skip(1);
    match inside.next() {
        Some((_, '\\')) => {
            inside.next();
            inside.find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
        }
        Some(_) => inside
            .next()
            .filter(|(_, c)| *c == '\'')
            .map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// Blanks each item that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        kept.push_str(before);
        let length = MARK.len() + item_length(&item[MARK.len()..]);
        kept.extend(
            item[..length]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' }),
        );
        rest = &item[length..];
    }
    kept + rest
}

/// The length of an item: to its `;`, or to the end of its braces.
fn item_length(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_is_blanked() {
        for blanked in [
            "// Command::new",
            "/* Command::new /* nested */ Command::new */",
            "\"Command::new \\\" Command::new\"",
            "r\"Command::new\"",
            "r#\"Command::new \" Command::new\"#",
            "br#\"Command::new\"#",
            "#[cfg(test)]\nmod tests { fn a() { Command::new(); } }",
            "#[cfg(test)]\nuse std::process::Command::new;",
        ] {
            let code = product_code(blanked);
            assert!(!code.contains("Command::new"), "{blanked} → {code}");
            assert_eq!(code.lines().count(), blanked.lines().count(), "{blanked}");
        }
    }

    #[test]
    fn code_stays() {
        for kept in [
            "let a = '\"'; Command::new(\"x\")",
            "let a = '\\''; Command::new()",
            "fn a<'a>(x: &'a str) { Command::new(x) }",
            "let for_r = \"x\"; Command::new()",
            "#[cfg(test)]\nmod tests;\nfn a() { Command::new() }",
            "#[cfg(test)]\nmod tests { fn a() {} }\nfn b() { Command::new() }",
            "let c = '\u{e4}'; Command::new()",
            "/* closed */ Command::new()",
        ] {
            assert!(product_code(kept).contains("Command::new"), "{kept}");
        }
    }
}
