//! Appending to a text without the formatting machinery: some are made for every request.

use std::{fmt::Write, net::IpAddr};

/// Appends a decimal number.
pub fn push_number(line: &mut String, number: u64) {
    line.push_str(itoa::Buffer::new().format(number));
}

/// Appends a number below 1000 with three digits.
pub fn push_thousandths(line: &mut String, number: u64) {
    if number < 100 {
        line.push('0');
    }
    if number < 10 {
        line.push('0');
    }
    push_number(line, number);
}

/// Appends an IP address.
pub fn push_address(line: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        let _ = write!(line, "{address}");
        return;
    };
    let [first, rest @ ..] = address.octets();
    push_number(line, first.into());
    for octet in rest {
        line.push('.');
        push_number(line, octet.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_the_standard_library_writes_them() {
        for number in [0, 7, 10, 99, 100, 12_345, u64::MAX] {
            let mut line = String::new();
            push_number(&mut line, number);
            assert_eq!(line, number.to_string());
        }
        for address in ["0.0.0.0", "127.0.0.1", "255.10.9.100", "::1", "2001:db8::ff"] {
            let mut line = String::new();
            push_address(&mut line, address.parse().unwrap());
            assert_eq!(line, address);
        }
    }
}
