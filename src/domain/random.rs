/// `N` bytes from the operating system's generator (by way of aws-lc).
///
/// # Panics
/// If the generator fails: nothing secret may be made without it.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random generator works");
    bytes
}
