import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpClient.Version;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Uploads that are refused: the status must be read, whatever is still to be sent. */
public class Client {
    /** Bytes that come at so many a second; as fast as they are read where the rate is 0. */
    static class Paced extends InputStream {
        final long begin = System.nanoTime();
        final long length, rate;
        long sent;

        Paced(long length, long rate) {
            this.length = length;
            this.rate = rate;
        }

        @Override
        public int read() {
            return sent++ < length ? 'x' : -1;
        }

        @Override
        public int read(byte[] into, int offset, int most) {
            if (sent >= length) {
                return -1;
            }
            int part = (int) Math.min(Math.min(most, 30_000), length - sent);
            sent += part;
            if (rate > 0) {
                long early = begin + sent * 1_000_000_000L / rate - System.nanoTime();
                try {
                    Thread.sleep(Math.max(0, early / 1_000_000));
                } catch (InterruptedException error) {
                    return -1;
                }
            }
            java.util.Arrays.fill(into, offset, offset + part, (byte) 'x');
            return part;
        }
    }

    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream pem = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    public static void main(String[] arguments) throws Exception {
        String plain = "http://127.0.0.1:" + arguments[0], tls = "https://localhost:" + arguments[1];
        SSLContext context = trusting(arguments[2]);
        String[][] ways = {{plain, "HTTP_1_1"}, {tls, "HTTP_1_1"}, {tls, "HTTP_2"}};
        long[][] uploads = {{1024, 0, 401}, {990_000, 300_000, 401}, {12_000_000, 0, 413}, {60_000_000, 0, 401}};
        List<Thread> threads = new ArrayList<>();
        for (String[] way : ways) {
            for (long[] upload : uploads) {
                HttpClient client = HttpClient.newBuilder().version(Version.valueOf(way[1])).sslContext(context).build();
                Thread thread = new Thread(() -> {
                    String name = way[0] + " " + way[1] + " " + upload[0] + " at " + upload[1];
                    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(way[0] + "/v1/any/x"));
                    request.timeout(Duration.ofSeconds(40));
                    if (upload[2] == 413) {
                        request.header("Authorization", "Bearer " + arguments[3]);
                    }
                    var body = BodyPublishers.ofInputStream(() -> new Paced(upload[0], upload[1]));
                    request.POST(BodyPublishers.fromPublisher(body, upload[0]));
                    try {
                        int status = client.send(request.build(), BodyHandlers.ofString()).statusCode();
                        System.out.println((status == upload[2] ? "ok " : "FAIL " + status + " ") + name);
                    } catch (Exception error) {
                        System.out.println("FAIL " + name + " " + error);
                    }
                });
                thread.start();
                threads.add(thread);
            }
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.exit(0);
    }
}
