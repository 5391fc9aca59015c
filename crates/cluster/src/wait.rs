//! Waits with growing pauses: quick where AWS is emulated, sparing of calls
//! where a control plane takes ten minutes.

use std::time::Duration;

use trunkline_engine::{Applying, Failure};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Asks until the answer is something, without holding a slot. Passing
/// failures are asked again, others end the wait.
pub(crate) async fn until<T, F>(
    cx: &Applying,
    what: &str,
    at_most: Duration,
    ask: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    let asking = async {
        let end = tokio::time::Instant::now() + at_most;
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await {
                Ok(Some(answer)) => return Ok(answer),
                Err(failure) if !failure.is_passing() => return Err(failure),
                Ok(None) | Err(_) => {}
            }
            if tokio::time::Instant::now() >= end {
                let seconds = at_most.as_secs();
                let text = format!("waited {seconds} s for {what}: it did not happen");
                return Err(Failure::stopped(text).next("run it again: it goes on from here"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    };
    cx.wait(what, asking).await
}
