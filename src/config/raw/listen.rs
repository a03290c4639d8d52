use crate::config::{
    cursor::{At, Written, section, text},
    problem::{Place, Problems},
    yaml::Node,
};

/// One entry of `listen`.
#[derive(Debug)]
pub struct Listen {
    pub address: Option<At<String>>,
    pub tls: Option<Place>,
}

/// `admin`
#[derive(Debug, Default)]
pub struct Admin {
    pub address: Written<String>,
    pub token: Written<String>,
}

impl Listen {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            address: fields.required("address", text),
            tls: fields.unsupported("tls", tls),
        })
    }
}

impl Admin {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            address: fields.optional("address", text),
            token: fields.optional("token", text),
        })
    }
}

// What later releases bring is read here for misspelt keys and wrong types, and refused by the check.

fn tls(node: &Node, problems: &mut Problems) -> Option<()> {
    section(node, problems, |fields| {
        fields.required("certificate", text);
        fields.required("key", text);
    })
}
