//! A real etcd and kube-apiserver for the tests of one binary, on 127.0.0.1 and
//! free ports. Also used by the tests of helm-wrapper.
//!
//! They end with the test process: the kernel kills them, whatever ends it.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use trunkline_ids::ClusterEndpoint;
use trunkline_objects::{Cluster, FixedToken};
use trunkline_tools::{Tool, lookup};

/// A token with every right.
pub const ADMIN: &str = "admin-token";
/// A token of somebody who is known and may do nothing.
pub const NOBODY: &str = "nobody-token";

/// The running control plane.
pub struct Server {
    pub endpoint: ClusterEndpoint,
    pub folder: PathBuf,
}

impl Server {
    /// A connection with every right.
    pub fn admin(&self) -> Cluster {
        self.with_token(ADMIN)
    }

    /// A connection with a token.
    pub fn with_token(&self, token: &str) -> Cluster {
        Cluster::connect(&self.endpoint, Arc::new(FixedToken::new(token))).unwrap()
    }
}

/// The control plane of this test binary, started by the first who asks; `None`,
/// said once per test, when its programs are not there.
pub fn server(test: &str) -> Option<&'static Server> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    match SERVER.get_or_init(start) {
        Ok(server) => Some(server),
        Err(reason) => {
            // Written past the capture of libtest: a skip must be seen.
            let _ = writeln!(std::io::stderr(), "SKIP {test}: {reason}");
            None
        }
    }
}

/// Ends the test early when there is no control plane.
#[macro_export]
macro_rules! server_or_skip {
    ($test:literal) => {
        match support::server($test) {
            Some(server) => server,
            None => return,
        }
    };
}

/// Asks until the answer is yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let all = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert!(ended.is_ok(), "did not happen within 60 s: {what}");
}

fn tool(tool: Tool) -> Result<PathBuf, String> {
    let found = lookup(tool).ok_or_else(|| format!("{tool} is not there: cargo xtask tools"))?;
    Ok(found.path)
}

fn start() -> Result<Server, String> {
    let etcd = tool(Tool::Etcd)?;
    let apiserver = tool(Tool::KubeApiserver)?;
    let controllers = tool(Tool::KubeControllerManager)?;
    let folder = folder();
    let (client, peer, secure) = (free_port(), free_port(), free_port());
    let etcd_url = format!("http://127.0.0.1:{client}");
    let peer_url = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new(etcd);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--unsafe-no-fsync", "--listen-client-urls", &etcd_url]);
    command.args([
        "--advertise-client-urls",
        &etcd_url,
        "--listen-peer-urls",
        &peer_url,
    ]);
    command.args(["--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &format!("default={peer_url}")]);
    run(command, &folder, "etcd");

    keys(&folder);
    let mut command = Command::new(apiserver);
    command.args([
        "--etcd-servers",
        &etcd_url,
        "--secure-port",
        &secure.to_string(),
    ]);
    command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
    command.arg("--cert-dir").arg(folder.join("certificates"));
    command
        .arg("--token-auth-file")
        .arg(folder.join("tokens.csv"));
    command
        .arg("--service-account-key-file")
        .arg(folder.join("service-accounts.pub"));
    command
        .arg("--service-account-signing-key-file")
        .arg(folder.join("service-accounts.key"));
    command.args(["--service-account-issuer=https://kubernetes.default.svc"]);
    command.args([
        "--authorization-mode=RBAC",
        "--endpoint-reconciler-type=none",
    ]);
    command.args(["--service-cluster-ip-range=10.96.0.0/16"]);
    run(command, &folder, "kube-apiserver");

    let endpoint = ready(&folder, secure)?;
    let mut command = Command::new(controllers);
    command
        .arg("--kubeconfig")
        .arg(kubeconfig(&folder, &endpoint));
    command.args(["--leader-elect=false", "--secure-port=0"]);
    command
        .arg("--service-account-private-key-file")
        .arg(folder.join("service-accounts.key"));
    run(command, &folder, "kube-controller-manager");
    Ok(Server { endpoint, folder })
}

/// A folder below the target folder, named by our process; those of processes
/// that are gone are removed.
fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("control-planes");
    fs::create_dir_all(&root).unwrap();
    for entry in fs::read_dir(&root).unwrap().filter_map(Result::ok) {
        let gone = !Path::new("/proc").join(entry.file_name()).exists();
        if gone {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = root.join(std::process::id().to_string());
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn keys(folder: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(folder.join("service-accounts.key"), key.serialize_pem()).unwrap();
    fs::write(folder.join("service-accounts.pub"), key.public_key_pem()).unwrap();
    let tokens = format!("{ADMIN},admin,1,\"system:masters\"\n{NOBODY},nobody,2\n");
    fs::write(folder.join("tokens.csv"), tokens).unwrap();
}

fn kubeconfig(folder: &Path, endpoint: &ClusterEndpoint) -> PathBuf {
    let path = folder.join("kubeconfig");
    let authority = folder.join("certificates/apiserver.crt");
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "this",
        "clusters": [{"name": "this", "cluster": {
            "server": endpoint.url, "certificate-authority": authority}}],
        "users": [{"name": "this", "user": {"token": ADMIN}}],
        "contexts": [{"name": "this", "context": {"cluster": "this", "user": "this"}}],
    });
    fs::write(&path, config.to_string()).unwrap();
    path
}

/// Waits until the API server says that it is ready.
fn ready(folder: &Path, port: u16) -> Result<ClusterEndpoint, String> {
    let certificate = folder.join("certificates/apiserver.crt");
    let end = Instant::now() + Duration::from_secs(90);
    let mut last = "its certificate is not there".to_owned();
    while Instant::now() < end {
        if let Ok(pem) = fs::read_to_string(&certificate) {
            let endpoint = ClusterEndpoint {
                name: "test".into(),
                url: format!("https://127.0.0.1:{port}"),
                certificate_authority: pem,
            };
            match ask(&endpoint) {
                Ok(()) => return Ok(endpoint),
                Err(words) => last = words,
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!(
        "kube-apiserver is not ready after 90 s: {last}; see {}",
        folder.display()
    );
}

fn ask(endpoint: &ClusterEndpoint) -> Result<(), String> {
    // A thread of its own: we may be inside a runtime.
    let endpoint = endpoint.clone();
    let asking = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let cluster = Cluster::connect(&endpoint, Arc::new(FixedToken::new(ADMIN)))
                .map_err(|e| e.to_string())?;
            let within = Duration::from_secs(60);
            cluster
                .reachable(within, &|_| {})
                .await
                .map_err(|e| e.to_string())
        })
    });
    asking.join().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Starts a part from a thread that never ends, so that the death signal means
/// the end of the process and not of one test.
fn run(mut command: Command, folder: &Path, name: &str) {
    let log = fs::File::create(folder.join(format!("{name}.log"))).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    die_with_us(&mut command);
    let (started, wait) = mpsc::channel();
    let name = name.to_owned();
    thread::spawn(move || {
        let child = command.spawn();
        started
            .send(
                child
                    .as_ref()
                    .map(|_| ())
                    .map_err(|e| format!("{name}: {e}")),
            )
            .unwrap();
        if let Ok(mut child) = child {
            let _ = child.wait();
        }
        loop {
            thread::park();
        }
    });
    wait.recv().unwrap().unwrap();
}

#[allow(unsafe_code, reason = "the death signal can only be set in the child")]
fn die_with_us(command: &mut Command) {
    // SAFETY: prctl with these arguments is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}
