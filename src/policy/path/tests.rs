use proptest::prelude::*;

use super::*;

#[test]
fn a_target_with_one_reading_stands_as_it_is() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/v1/applications.get", "/v1/applications.get", None),
        ("/v1/applications/bits:application::1/x", "/v1/applications/bits:application::1/x", None),
        ("/a%20b/%C3%A9?x=%00/../;", "/a%20b/%C3%A9", Some("x=%00/../;")),
        ("/a/", "/a/", None),
        ("/.well-known/x", "/.well-known/x", None),
        ("/...a", "/...a", None),
        ("/a:$b/:x/:/..:", "/a:$b/:x/:/..:", None),
        ("/a%20/", "/a%20/", None),
        ("/a/%20", "/a/%20", None),
        ("/a?", "/a", Some("")),
        ("/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D", "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D", None),
        ("/%e4%bd%a0%E5%A5%BD%e3%80%82", "/%e4%bd%a0%E5%A5%BD%e3%80%82", None),
        ("/%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB", "/%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB", None),
        ("/a?b?c", "/a", Some("b?c")),
    ] {
        let parsed = RequestTarget::parse(target.as_bytes()).unwrap();
        assert_eq!((parsed.path(), parsed.query()), (path, query), "{target}");
    }
}

#[test]
fn a_target_with_two_readings_is_refused() {
    for (target, expected) in [
        (&b""[..], PathError::NotOriginForm),
        (b"*", PathError::NotOriginForm),
        (b"x", PathError::NotOriginForm),
        (b"@evil/", PathError::NotOriginForm),
        (b"http://host/x", PathError::NotOriginForm),
        (b"//x", PathError::EmptySegment),
        (b"/a//b", PathError::EmptySegment),
        (b"/a//", PathError::EmptySegment),
        (b"/./a", PathError::DotSegment),
        (b"/a/../b", PathError::DotSegment),
        (b"/a/.", PathError::DotSegment),
        (b"/..", PathError::DotSegment),
        (b"/...", PathError::DotSegment),
        (b"/a/.../b", PathError::DotSegment),
        (b"/a/..%20/b", PathError::DotSegment),
        (b"/a/%20./b", PathError::DotSegment),
        (b"/a/.%20.", PathError::DotSegment),
        (b"/a/..%E2%80%8D/b", PathError::DotSegment),
        (b"/a/..%C2%A0/b", PathError::DotSegment),
        (b"/a/..::$DATA/b", PathError::DotSegment),
        (b"/a/.%20:$I30/b", PathError::DotSegment),
        (b"/a/..%E2%80%8D::$DATA", PathError::DotSegment),
        (b"/a/::$DATA", PathError::EmptySegment),
        (b"/a/:%20:$DATA", PathError::EmptySegment),
        (b"/a/..:.:$DATA/b", PathError::DotSegment),
        (b"/a/%20:$I30:$INDEX_ALLOCATION/b", PathError::EmptySegment),
        (b"/a/%E3%80%80::$DATA", PathError::EmptySegment),
        (b"/a/%20/b", PathError::EmptySegment),
        (b"/a/%E3%80%80%20/b", PathError::EmptySegment),
        (b"/a/%E2%80%8D/b", PathError::EmptySegment),
        (b"/%2e%2e/a", PathError::AmbiguousEncoding),
        (b"/%61", PathError::AmbiguousEncoding),
        (b"/%7E", PathError::AmbiguousEncoding),
        (b"/a%2fb", PathError::AmbiguousEncoding),
        (b"/a%2Fb", PathError::AmbiguousEncoding),
        (b"/a%5cb", PathError::AmbiguousEncoding),
        (b"/a%3bb", PathError::AmbiguousEncoding),
        (b"/a%00", PathError::AmbiguousEncoding),
        (b"/a%0d%0a", PathError::AmbiguousEncoding),
        (b"/a%7f", PathError::AmbiguousEncoding),
        (b"/%252e", PathError::AmbiguousEncoding),
        (b"/%25u002e", PathError::AmbiguousEncoding),
        (b"/a%3Ab", PathError::AmbiguousEncoding),
        (b"/a%40b", PathError::AmbiguousEncoding),
        (b"/a%2bb", PathError::AmbiguousEncoding),
        (b"/a%24", PathError::AmbiguousEncoding),
        (b"/a%2A", PathError::AmbiguousEncoding),
        (b"/%E3%81%8B%2F", PathError::AmbiguousEncoding),
        (b"/pub/..%ef%bc%8fv1", PathError::Lookalike),
        (b"/pub/%EF%BC%8E%EF%BC%8E/v1", PathError::Lookalike),
        (b"/pub/..%E2%88%95v1", PathError::Lookalike),
        (b"/pub/%E2%80%A5/v1", PathError::Lookalike),
        (b"/prot%EF%BC%9Bx", PathError::Lookalike),
        (b"/prot%EF%BC%9Fx", PathError::Lookalike),
        (b"/prot%C2%AD", PathError::Lookalike),
        (b"/prot%E2%80%8B", PathError::Lookalike),
        (b"/prot%C2%85", PathError::Lookalike),
        (b"/..%C2%A5..", PathError::Lookalike),
        (b"/a%u002e", PathError::BrokenEncoding),
        (b"/a%", PathError::BrokenEncoding),
        (b"/a%2", PathError::BrokenEncoding),
        (b"/a%zz", PathError::BrokenEncoding),
        (b"/a%+1", PathError::BrokenEncoding),
        (b"/a%ff", PathError::NotUtf8),
        (b"/a%c0%af", PathError::NotUtf8),
        (b"/a%e0%80%af", PathError::NotUtf8),
        (b"/a%ed%a0%80", PathError::NotUtf8),
        (b"/a%C3", PathError::NotUtf8),
        (b"/a\\b", PathError::Character),
        (b"/a;b", PathError::Character),
        (b"/a b", PathError::Character),
        (b"/a#b", PathError::Character),
        (b"/a?b#c", PathError::Character),
        (b"/a?b c", PathError::Character),
        (b"/a?b=\"c\"", PathError::Character),
        (b"/a?b=<c>", PathError::Character),
        (b"/a\0", PathError::Character),
        (b"/a\xff", PathError::Character),
        (b"/a?\xff", PathError::Character),
        (b"/a\"b", PathError::Character),
    ] {
        assert_eq!(RequestTarget::parse(target), Err(expected), "{}", target.escape_ascii());
    }
}

#[test]
fn each_character_that_may_stand_plainly_has_no_other_spelling() {
    for byte in 0..=0x7f_u8 {
        let (plain, encoded) = ([b"/a", &[byte][..]].concat(), format!("/a%{byte:02X}b").into_bytes());
        let stands = byte != b'/' && RequestTarget::parse(&plain).is_ok_and(|target| target.query().is_none());
        let delimits = matches!(byte, b'%' | b'?' | b'#');
        match RequestTarget::parse(&encoded) {
            Ok(target) => {
                assert!(!stands, "two spellings of {}", byte.escape_ascii());
                assert_eq!(target.delimiters() == Delimiters::Encoded, delimits, "{}", byte.escape_ascii());
            }
            Err(_) => assert!(!delimits && b" \"<>[]^`{|}".iter().all(|may| *may != byte), "{}", byte.escape_ascii()),
        }
    }
}

#[test]
fn a_segment_is_decoded_once() {
    let target = RequestTarget::parse(b"/a/bits:application%20::%c3%A9/c").unwrap();
    assert_eq!(target.segment(0).as_deref(), Some("a"));
    assert_eq!(target.segment(1).as_deref(), Some("bits:application ::\u{e9}"));
    assert_eq!(target.segment(2).as_deref(), Some("c"));
    assert_eq!(target.segment(3), None);
}

proptest! {
    /// What passes has no second spelling: decoding it changes neither its segments' number nor their dots.
    #[test]
    fn decoding_an_accepted_path_adds_no_structure(target in "/([a-z./%\\\\;]|%[0-9a-fA-F]{2}){0,24}") {
        if let Ok(parsed) = RequestTarget::parse(target.as_bytes()) {
            let decoded = percent_decode(parsed.path()).unwrap();
            prop_assert_eq!(decoded.matches('/').count(), parsed.path().matches('/').count());
            prop_assert!(!decoded.split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert!(!decoded.contains(['\\', ';', '\0']));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(target in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = RequestTarget::parse(&target);
    }
}
