import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpClient.Version;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Reads every kind of reply with java.net.http. Arguments: port, TLS port, file of the authority, kinds. */
public class Client {
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

    static String ask(HttpClient client, String base, String method, String kind) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(base + "/kind/" + kind));
        request.method(method, BodyPublishers.noBody()).timeout(Duration.ofSeconds(5));
        HttpResponse<String> reply = client.send(request.build(), BodyHandlers.ofString());
        return reply.statusCode() + " [" + reply.body() + "]";
    }

    public static void main(String[] arguments) throws Exception {
        String plain = "http://127.0.0.1:" + arguments[0], tls = "https://localhost:" + arguments[1];
        SSLContext context = trusting(arguments[2]);
        // Without TLS the client asks to be upgraded to HTTP/2, and goes on in HTTP/1.1 when it is not.
        String[][] ways = {
            {"http/1.1", plain, "HTTP_1_1"},
            {"https/1.1", tls, "HTTP_1_1"},
            {"https/2", tls, "HTTP_2"},
            {"http/2", plain, "HTTP_2"},
        };
        for (String[] way : ways) {
            for (String kind : arguments[3].split(",")) {
                boolean interim = kind.equals("hints") || kind.equals("processing");
                if (interim && !way[0].equals("https/2")) {
                    continue;
                }
                for (String method : new String[] {"GET", "HEAD"}) {
                    HttpClient client =
                        HttpClient.newBuilder().version(Version.valueOf(way[2])).sslContext(context).build();
                    String said;
                    try {
                        said = ask(client, way[1], method, kind) + " " + ask(client, way[1], "GET", "length");
                    } catch (Exception error) {
                        said = error.toString();
                    }
                    System.out.println(way[0] + " " + method + " " + kind + " " + said);
                }
            }
        }
        System.exit(0);
    }
}
