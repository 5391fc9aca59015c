//! Reading and cutting the XML answers of the query protocols.

use std::ops::Range;

use roxmltree::{Document, Node};

/// Text of the first element of that name.
pub(crate) fn text(xml: &str, name: &str) -> Option<String> {
    let document = Document::parse(xml).ok()?;
    document
        .descendants()
        .find(|node| node.tag_name().name() == name)
        .and_then(|node| node.text())
        .map(str::to_owned)
}

/// Texts of all elements of that name, in the order of the document.
pub(crate) fn texts(xml: &str, name: &str) -> Vec<String> {
    let Ok(document) = Document::parse(xml) else {
        return Vec::new();
    };
    let named = document
        .descendants()
        .filter(|node| node.tag_name().name() == name);
    named
        .filter_map(|node| node.text())
        .map(str::to_owned)
        .collect()
}

/// Text of the direct child of that name.
pub(crate) fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children()
        .find(|child| child.tag_name().name() == name)
        .and_then(|child| child.text())
}

/// The entries of a Describe answer: `<Response><xSet><item>`.
pub(crate) fn items<'a, 'input>(
    document: &'a Document<'input>,
) -> impl Iterator<Item = Node<'a, 'input>> {
    let sets = document.root_element().children().filter(Node::is_element);
    sets.flat_map(|set| set.children())
        .filter(|node| node.tag_name().name() == "item")
}

/// The text with each range replaced; ranges do not overlap.
pub(crate) fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    for (range, replacement) in edits {
        result.push_str(&text[at..range.start]);
        result.push_str(&replacement);
        at = range.end;
    }
    result.push_str(&text[at..]);
    result
}
