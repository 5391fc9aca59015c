//! The one place that starts git: asks a repository which commit a branch or
//! tag is at. Argo CD is pinned to that commit, because what moves cannot be
//! waited for.

use anyhow::Context;
use tokio::process::Command;

use crate::exit::Wrong;

/// The commit that `revision` of `repository` is at now.
pub(crate) async fn commit(repository: &str, revision: &str) -> anyhow::Result<String> {
    if is_commit(revision) {
        return Ok(revision.to_owned());
    }
    let asked = Command::new("git")
        .args(["ls-remote", "--quiet", "--", repository])
        .args(patterns(revision))
        // Asks nobody for a password: that would hang in CI.
        .env("GIT_TERMINAL_PROMPT", "0")
        .kill_on_drop(true)
        .output()
        .await
        .context("git could not be started; it is needed to resolve a branch to its commit")?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        // git explains itself in further lines that say nothing of this case.
        let said = said.lines().next().unwrap_or("git said nothing").to_owned();
        return Err(Wrong(format!(
            "{repository} could not be asked for {revision}\n  git said: {said}\n  \
             do: check the URL (--repository) and your access to it"
        ))
        .into());
    }
    chosen(&String::from_utf8_lossy(&asked.stdout), revision).ok_or_else(|| {
        Wrong(format!(
            "{repository} has no branch or tag {revision}\n  \
             do: push it, or name another with --revision"
        ))
        .into()
    })
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// `refs/tags/x^{}` is the commit that an annotated tag points at.
fn patterns(revision: &str) -> [String; 4] {
    [
        revision.to_owned(),
        format!("refs/heads/{revision}"),
        format!("refs/tags/{revision}"),
        format!("refs/tags/{revision}^{{}}"),
    ]
}

/// A branch wins over a tag of its name, and a tag's commit over the tag.
fn chosen(listed: &str, revision: &str) -> Option<String> {
    let lines: Vec<(&str, &str)> = listed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let [plain, head, tag, peeled] = patterns(revision);
    [head, peeled, tag, plain]
        .iter()
        .find_map(|name| lines.iter().find(|(_, listed)| listed == name))
        .map(|(commit, _)| (*commit).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_reference_is_chosen() {
        let listed =
            "a\trefs/heads/topic/main\nb\trefs/tags/v1\nc\trefs/tags/v1^{}\nd\trefs/heads/main\n";
        assert_eq!(chosen(listed, "main").as_deref(), Some("d"));
        assert_eq!(chosen(listed, "v1").as_deref(), Some("c"));
        assert_eq!(chosen(listed, "other"), None);
        assert_eq!(chosen("e\tHEAD\n", "HEAD").as_deref(), Some("e"));
    }

    #[tokio::test]
    async fn a_commit_is_taken_as_it_is() {
        let commit_id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(
            commit("file:///nowhere", commit_id).await.unwrap(),
            commit_id
        );
    }

    #[tokio::test]
    async fn a_repository_that_is_not_there_is_said() {
        let error = commit("file:///nowhere/at/all", "main").await.unwrap_err();
        assert!(error.to_string().contains("could not be asked"), "{error}");
    }
}
