//! Pages of lists: `maxResults` and an opaque `nextToken`.

use serde_json::{Value, json};

use super::error::invalid_parameter;
use crate::front::{AwsError, Form};

/// One page of `items`, which have a stable order of distinct keys.
pub(super) fn page(
    field: &str,
    items: Vec<(String, Value)>,
    query: &Form,
) -> Result<Value, AwsError> {
    let limit = match query.get("maxResults").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(invalid_parameter("maxResults must be between 1 and 100")),
    };
    let start = match query.get("nextToken") {
        None => 0,
        Some(token) => {
            let last = decode(token).ok_or_else(|| invalid_parameter("Invalid nextToken"))?;
            // The item of the token may be gone by now; its place is known all the same
            // only while it is there, so a page then begins anew rather than skipping.
            items
                .iter()
                .position(|(key, _)| *key == last)
                .map_or(0, |at| at + 1)
        }
    };
    let more = items.len() > start + limit;
    let page = items.into_iter().skip(start).take(limit);
    let (keys, values): (Vec<String>, Vec<Value>) = page.unzip();
    let mut answer = json!({ field: values });
    if more && let Some(last) = keys.last() {
        answer["nextToken"] = super::base64(last.as_bytes()).into();
    }
    Ok(answer)
}

fn decode(token: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(token)
        .ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_put_together_are_the_list() {
        let items: Vec<_> = ('a'..='g').map(|c| (c.to_string(), json!(c))).collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut query = Form::new([("maxResults", "3")]);
            query
                .0
                .extend(token.map(|token| ("nextToken".to_owned(), token)));
            let page = page("it", items.clone(), &query).unwrap();
            seen.extend(page["it"].as_array().unwrap().clone());
            token = page["nextToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, ('a'..='g').map(|c| json!(c)).collect::<Vec<_>>());
        let query = |key, value| Form::new([(key, value)]);
        assert!(page("it", items.clone(), &query("maxResults", "0")).is_err());
        assert!(page("it", items, &query("nextToken", "!")).is_err());
    }
}
