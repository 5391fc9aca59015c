//! The certificates of one control plane: an authority of its own and one
//! serving certificate for 127.0.0.1, and the key that signs service account
//! tokens. Made anew for every cluster, so two clusters never trust each other.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// The names by which pods would reach the API server.
const NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Certificates and keys, PEM.
pub(super) struct Pki {
    /// The authority.
    pub(super) ca: String,
    /// What every server of the control plane shows.
    pub(super) certificate: String,
    /// The key to it.
    pub(super) key: String,
    /// Signs service account tokens.
    pub(super) signing_key: String,
    /// Tells its signatures.
    pub(super) signing_public_key: String,
}

impl Pki {
    /// Makes all of it; `service` is the first address of the service range.
    pub(super) fn new(service: Ipv4Addr) -> Result<Self> {
        Self::make(service).context("the certificates of the control plane cannot be made")
    }

    fn make(service: Ipv4Addr) -> Result<Self, rcgen::Error> {
        let mut authority = named("kubernetes");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut server = named("kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        for address in [Ipv4Addr::LOCALHOST, service] {
            server
                .subject_alt_names
                .push(SanType::IpAddress(IpAddr::V4(address)));
        }
        for name in NAMES {
            server
                .subject_alt_names
                .push(SanType::DnsName(name.try_into()?));
        }
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?.pem();
        let signing_key = KeyPair::generate()?;
        Ok(Self {
            ca,
            certificate,
            key: key.serialize_pem(),
            signing_key: signing_key.serialize_pem(),
            signing_public_key: signing_key.public_key_pem(),
        })
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
