//! That the PostgreSQL which other tests start is one: it keeps what it was told, and leaves nothing behind.

use std::net::TcpStream;

use super::postgres::Cluster;

#[test]
fn a_cluster_starts_crashes_comes_back_and_goes() {
    let Some(mut cluster) = Cluster::start_with(&["max_connections=20"]) else { return };
    let (one, other) = (cluster.create_database(), cluster.create_database());
    assert_ne!(one, other);
    assert_eq!(cluster.sql(&one, "SELECT 1, NULL, 'text' UNION ALL SELECT 2, NULL, '' ORDER BY 1"), "1||text\n2||");
    assert_eq!(cluster.sql(&one, "SHOW max_connections"), "20");
    cluster.sql(&one, "CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7)");
    assert!(cluster.try_sql(&other, "SELECT n FROM kept").is_err(), "databases are apart");

    let held = cluster.hold(&one, "BEGIN; LOCK TABLE kept IN ACCESS EXCLUSIVE MODE").unwrap();
    let count = "SET lock_timeout = '50ms'; SELECT count(*) FROM kept";
    assert!(cluster.try_sql(&one, count).is_err_and(|error| error.to_string().contains("lock timeout")));
    drop(held);
    assert_eq!(cluster.sql(&one, count), "1");

    let address = cluster.address();
    cluster.stop_immediate();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    assert!(cluster.try_sql(&one, "SELECT 1").is_err());
    cluster.restart();
    assert_eq!(cluster.sql(&one, "SELECT n FROM kept"), "7");

    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(TcpStream::connect(address).is_err() && !folder.exists());
}
