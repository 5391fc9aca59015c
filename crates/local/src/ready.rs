//! Waiting until a part is ready: its probe is asked at short intervals, and a
//! process that ends meanwhile is an error at once, not after the deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::failure::PartFailed;
use crate::probe::Probe;
use crate::supervise::Running;

/// Between two questions: what is started is then ready at most this late.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until `probe` succeeds, for the first of `parts`; the others are
/// those that it needs, whose end is an error too.
pub(crate) async fn ready(
    parts: &[&Running],
    within: Duration,
    probe: Probe<'_>,
) -> Result<(), PartFailed> {
    let deadline = Instant::now() + within;
    loop {
        let answer = timeout(PATIENCE, probe.ask()).await;
        // What was needed ended first, and is the reason for the rest.
        if let Some((part, how)) = parts
            .iter()
            .rev()
            .find_map(|part| Some((part, part.ended()?)))
        {
            return Err(part.failed(format!("did not start: it ended ({how})")));
        }
        let why = match answer {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() >= deadline {
            let why = format!("is not ready after {} s: {why}", within.as_secs());
            return Err(parts[0].failed(why));
        }
        sleep(INTERVAL).await;
    }
}
