use crate::config::{
    cursor::{At, Written, section, some, some_texts, text, truth},
    problem::Problems,
    yaml::Node,
};

/// One entry of `listen`.
#[derive(Debug)]
pub struct Listen {
    pub address: Option<At<String>>,
    pub tls: Written<ListenTls>,
    pub h2c: Written<bool>,
    pub proxy_protocol: Written<String>,
}

/// `tls` of a listener.
#[derive(Debug)]
pub struct ListenTls {
    pub certificate: Written<String>,
    pub key: Written<String>,
    pub certificates: Written<Vec<At<Pair>>>,
    pub min_version: Written<String>,
    pub client_ca: Written<String>,
    pub client_certificates: Written<String>,
}

/// One entry of `certificates`.
#[derive(Debug)]
pub struct Pair {
    pub certificate: Option<At<String>>,
    pub key: Option<At<String>>,
}

/// `admin`
#[derive(Debug, Default)]
pub struct Admin {
    pub address: Written<String>,
    pub hosts: Written<Vec<At<String>>>,
    pub token: Written<String>,
    pub tls: Written<ListenTls>,
}

impl Listen {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            address: fields.required("address", text),
            tls: fields.optional("tls", ListenTls::read),
            h2c: fields.optional("h2c", truth),
            proxy_protocol: fields.optional("proxy_protocol", text),
        })
    }
}

impl ListenTls {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            certificate: fields.optional("certificate", text),
            key: fields.optional("key", text),
            certificates: fields.optional("certificates", some(Pair::read)),
            min_version: fields.optional("min_version", text),
            client_ca: fields.optional("client_ca", text),
            client_certificates: fields.optional("client_certificates", text),
        })
    }
}

impl Pair {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            certificate: fields.required("certificate", text),
            key: fields.required("key", text),
        })
    }
}

impl Admin {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            address: fields.optional("address", text),
            hosts: fields.optional("hosts", some_texts),
            token: fields.optional("token", text),
            tls: fields.optional("tls", ListenTls::read),
        })
    }
}
