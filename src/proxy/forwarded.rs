//! The grammar of `Forwarded` (RFC 7239), and addresses as proxies write them.

use std::net::{IpAddr, SocketAddr};

/// An address as peers write it: bare, with a port, or an IPv6 one in brackets.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// One step of `Forwarded`.
#[derive(Default)]
pub(super) struct Element {
    /// Where it begins in the text.
    pub(super) start: usize,
    pub(super) source: Option<IpAddr>,
    pub(super) scheme: Option<String>,
    pub(super) host: Option<String>,
}

/// The elements of `Forwarded` (RFC 7239 section 4); `None` if it does not follow the grammar.
pub(super) fn elements(text: &str) -> Option<Vec<Element>> {
    let mut rest = text.trim_start();
    let mut elements = vec![Element { start: text.len() - rest.len(), ..Element::default() }];
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let element = elements.last_mut().expect("there is one from the start");
        let place = match name.trim().to_ascii_lowercase().as_str() {
            "for" => {
                element.source = address(&value);
                None
            }
            "proto" => Some(&mut element.scheme),
            "host" => Some(&mut element.host),
            _ => None,
        };
        if let Some(place) = place {
            *place = Some(value);
        }
        let after = after.trim_start();
        let Some(separator) = after.chars().next() else { return Some(elements) };
        rest = after.get(1..)?.trim_start();
        match separator {
            ';' => {}
            ',' => elements.push(Element { start: text.len() - rest.len(), ..Element::default() }),
            _ => return None,
        }
    }
}

/// A token or a quoted text at the beginning, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}
