//! The processes that Argo CD consists of here: programs, arguments, environment.

use std::path::Path;

use super::{ArgoCd, NAMESPACE};
use crate::supervise::Part;

impl ArgoCd {
    fn part(&self, component: &str, program: &Path, folder: &str) -> Part {
        let name = format!("{component} of {}", self.cluster);
        let log = self.logs.join(format!("{component}.log"));
        Part::new(name, program, self.folder.join(folder), log)
    }

    /// The cache server.
    pub(super) fn redis(&self, port: u16) -> Part {
        let port = port.to_string();
        self.part("argocd-redis", &self.programs.redis, "redis")
            .args([
                "redis.conf",
                "--bind",
                "127.0.0.1",
                "--port",
                port.as_str(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
    }

    /// A component: one binary takes its role from a variable.
    fn component(&self, name: &str) -> Part {
        let folder = |name: &str| self.folder.join(name);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = std::iter::once(folder("bin")).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(own).unwrap_or(path.clone());
        self.part(name, &self.programs.argocd, name)
            .env("ARGOCD_BINARY_NAME", name)
            .env("PATH", path)
            .env("KUBECONFIG", &self.kubeconfig)
            // `https://kubernetes.default.svc` is the kubeconfig's server.
            .env("ARGOCD_FAKE_IN_CLUSTER", "true")
            .env("ARGOCD_GPG_ENABLED", "false")
            .env("ARGOCD_TLS_DATA_PATH", folder("tls"))
            .env("ARGOCD_SSH_DATA_PATH", folder("ssh"))
            .env("ARGOCD_GNUPGHOME", folder("gnupg"))
            .env("ARGOCD_PLUGINSOCKFILEPATH", folder("plugins"))
            // The repository is the checkout of whoever called: git refuses
            // those of other users otherwise.
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            // A revision that moves is seen after at most that long.
            .env("ARGOCD_RECONCILIATION_TIMEOUT", "20s")
            .env("ARGOCD_RECONCILIATION_JITTER", "0s")
    }

    fn with_redis(part: Part, port: u16, password: &str) -> Part {
        part.args(["--redis".to_owned(), format!("127.0.0.1:{port}")])
            .env("REDIS_PASSWORD", password)
    }

    /// What renders charts.
    pub(super) fn repo_server(&self, redis: u16, port: u16, password: &str) -> Part {
        let port = port.to_string();
        let part = self.component("argocd-repo-server").args([
            "--address",
            "127.0.0.1",
            "--port",
            port.as_str(),
            "--metrics-address",
            "127.0.0.1",
            "--metrics-port",
            "0",
            "--disable-tls",
            // Its default names a file of the image, which contradicts the line above.
            "--client-ca-path=",
            "--logformat",
            "text",
        ]);
        Self::with_redis(part, redis, password)
    }

    /// What reconciles Applications. Its metrics, on a free port, are the one thing here that listens on
    /// all addresses: Argo CD has no setting for it.
    pub(super) fn controller(&self, redis: u16, repositories: u16, password: &str) -> Part {
        let repositories = format!("127.0.0.1:{repositories}");
        let part = self.component("argocd-application-controller").args([
            "--namespace",
            NAMESPACE,
            "--repo-server",
            repositories.as_str(),
            "--repo-server-plaintext",
            "--metrics-port",
            "0",
            // Few applications on a small machine; the defaults are 20, 10, 20.
            "--status-processors",
            "4",
            "--operation-processors",
            "2",
            "--kubectl-parallelism-limit",
            "4",
            "--logformat",
            "text",
        ]);
        Self::with_redis(part, redis, password)
    }

    /// What makes Applications of ApplicationSets.
    pub(super) fn application_sets(&self, repositories: u16) -> Part {
        let repositories = format!("127.0.0.1:{repositories}");
        self.component("argocd-applicationset-controller").args([
            "--namespace",
            NAMESPACE,
            "--argocd-repo-server",
            repositories.as_str(),
            "--repo-server-plaintext",
            "--metrics-addr",
            "127.0.0.1:0",
            "--probe-addr",
            "127.0.0.1:0",
            "--webhook-addr",
            "127.0.0.1:0",
            "--logformat",
            "text",
        ])
    }
}
