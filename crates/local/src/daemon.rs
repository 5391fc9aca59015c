//! The daemon, `trunkline-local serve`: starts the parts of a stack in the
//! order in which they need each other, keeps them, and stops them when it is
//! told to, when one does not start, or when whoever asked for it has gone.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use trunkline_fake_aws::faults::Settings;
use trunkline_fake_aws::front::{Front, FrontConfig};
use trunkline_fake_aws::moto::Moto;

use crate::board::Board;
use crate::control_plane::LocalControlPlanes;
use crate::events::{Event, Events};
use crate::mirror::Mirror;
use crate::moto;
use crate::options::{Options, REGION, is_url};
use crate::paths::Paths;
use crate::process::Identity;
use crate::state::{Addresses, State};
use crate::supervise::Supervisor;

/// The IAM user that deploys: STS then names its ARN, as it would at AWS.
const USER: &str = "trunkline-local";

/// Serves the stack of that name until it is told to stop; tells `out` how the
/// start goes.
pub(crate) fn serve(name: &str, out: impl Write + Send) -> Result<()> {
    let events = Events::new(out);
    let served = Runtime::new().and_then(|runtime| runtime.serve(name, &events));
    if let Err(error) = &served {
        tracing::error!("{error:#}");
        // Its reader may have gone: that is then the reason for the error.
        let _ = events.tell(&Event::Failed(format!("{error:#}")));
    }
    served
}

struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    fn new() -> Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Ok(Self(
            builder
                .enable_all()
                .build()
                .context("no threads for the daemon")?,
        ))
    }

    fn serve<W: Write + Send>(self, name: &str, events: &Events<W>) -> Result<()> {
        let paths = Paths::of(name)?;
        let _lock = only_daemon(&paths)?;
        let options = Options::read(&paths)?;
        let served = self.0.block_on(run(&paths, options, events));
        // Not the blocking end: a thread may still wait for a part that hangs.
        self.0.shutdown_timeout(Duration::from_secs(1));
        let _ = fs::remove_file(paths.state());
        served
    }
}

/// The lock that one daemon holds for as long as it lives.
fn only_daemon(paths: &Paths) -> Result<File> {
    let file = paths.daemon_lock();
    let lock = File::create(&file).with_context(|| format!("no lock at {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("another daemon serves this stack"),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", file.display()))
        }
    }
}

async fn run<W: Write>(paths: &Paths, options: Options, events: &Events<W>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut told_to_stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let start = Stack::start(paths, options, events);
    let stack = tokio::select! {
        stack = start => stack?,
        // What was started until now ends with its handles.
        () = told_to_stop() => bail!("stopped while it started"),
        () = caller_gone() => bail!("the command that started this stack has gone"),
    };
    events.tell(&Event::Up)?;
    tracing::info!("up");
    told_to_stop().await;
    stack.stop().await;
    tracing::info!("down");
    Ok(())
}

/// Waits until `up`, which holds the other end of our stdin, has ended.
async fn caller_gone() {
    let (tell, gone) = oneshot::channel();
    // A thread of its own, which nobody waits for: a read cannot be broken off.
    let read = move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = tell.send(());
    };
    let thread = std::thread::Builder::new().name("caller".to_owned());
    match thread.spawn(read) {
        Ok(_) => drop(gone.await),
        Err(_) => std::future::pending().await,
    }
}

/// A running stack. The fields are dropped in this order.
struct Stack {
    _mirror: Option<Mirror>,
    _front: Arc<Front>,
    control_planes: Arc<LocalControlPlanes>,
    _moto: Moto,
}

impl Stack {
    async fn start<W: Write>(paths: &Paths, options: Options, events: &Events<W>) -> Result<Self> {
        clear(paths)?;
        let daemon = Identity::own().context("this process is not to be seen in /proc")?;
        let board = Board::new(paths.state(), State::new(options.clone(), daemon))?;
        let board = Arc::new(board);
        let supervisor = Supervisor::new(board.clone(), paths.root().to_path_buf())?;

        let begin = Instant::now();
        let moto = moto::start(&options, paths, &board).await?;
        tell_ready(events, moto::NAME, begin)?;

        let begin = Instant::now();
        let control_planes = Arc::new(LocalControlPlanes::new(
            paths.clone(),
            options.clone(),
            moto.url(),
            supervisor,
            board.clone(),
        ));
        let front = Arc::new(start_front(&options, &moto, control_planes.clone()).await?);
        control_planes.know(&front);
        let (access_key_id, secret_access_key) = front
            .create_user(USER)
            .await
            .context("the AWS front did not start")?;
        tell_ready(events, "aws front", begin)?;

        let begin = Instant::now();
        let (mirror, charts) = start_mirror(options.charts.as_deref()).await?;
        tell_ready(events, "chart mirror", begin)?;

        let addresses = Addresses {
            front: front.url(),
            moto: moto.url(),
            charts,
            access_key_id,
            secret_access_key,
        };
        board.update(|state| state.addresses = Some(addresses));
        Ok(Self {
            _mirror: mirror,
            _front: front,
            control_planes,
            _moto: moto,
        })
    }

    async fn stop(self) {
        self.control_planes.stop_all().await;
    }
}

async fn start_front(
    options: &Options,
    moto: &Moto,
    control_planes: Arc<LocalControlPlanes>,
) -> Result<Front> {
    let config = FrontConfig {
        account: options.account.clone(),
        region: REGION.to_owned(),
        moto: moto.url(),
        port: options.port,
        settings: Settings {
            pace: options.pace,
            ..Settings::default()
        },
        control_planes,
    };
    Front::start(config)
        .await
        .context("the AWS front did not start")
}

/// Serves the charts, and gives where they are: a repository that has a URL
/// needs no mirror.
async fn start_mirror(charts: Option<&str>) -> Result<(Option<Mirror>, String)> {
    if let Some(url) = charts.filter(|charts| is_url(charts)) {
        return Ok((None, url.to_owned()));
    }
    let mirror = Mirror::start(charts.map(Path::new)).await;
    let mirror = mirror.context("the chart mirror did not start")?;
    for chart in mirror.charts() {
        tracing::info!("chart: {chart}");
    }
    let url = mirror.url().to_owned();
    Ok((Some(mirror), url))
}

fn tell_ready<W: Write>(events: &Events<W>, part: &str, begin: Instant) -> Result<()> {
    let ms = begin.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    tracing::info!("{part} is ready after {ms} ms");
    events.tell(&Event::Ready {
        part: part.to_owned(),
        ms,
    })
}

/// Makes the folders anew: what an earlier daemon left belongs to nothing.
fn clear(paths: &Paths) -> Result<()> {
    for folder in [paths.clusters(), paths.logs()] {
        fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    crate::argo_cd::remove(&paths.clusters())
        .and_then(|()| fs::create_dir_all(paths.clusters()))
        .with_context(|| format!("{} cannot be cleared", paths.clusters().display()))
}
