import static org.codelibs.opensearch.runner.OpenSearchRunner.newConfigs;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.concurrent.CountDownLatch;
import org.codelibs.opensearch.runner.OpenSearchRunner;
import org.opensearch.common.settings.Settings;
import org.opensearch.core.common.transport.TransportAddress;
import org.opensearch.http.HttpServerTransport;

/** One OpenSearch node on loopback: Node HOME PORT FILE. The address goes to FILE; SIGTERM ends it in order. */
class Node {
    public static void main(String[] args) {
        try {
            // The runner's own main swallows errors, takes another port than asked for and lacks the ingest role.
            OpenSearchRunner runner = new OpenSearchRunner();
            runner.setMaxHttpPort(-1); // else it goes through ports of its own, although ours is set
            runner.onBuild((number, settings) -> configure(settings, args[1]));
            Runtime.getRuntime().addShutdownHook(new Thread(() -> close(runner)));
            runner.build(newConfigs().basePath(args[0]).clusterName("tickloop-test").numOfNode(1).disableESLogger());
            runner.ensureYellow();
            publish(runner.getInstance(HttpServerTransport.class), Path.of(args[2]));
            new CountDownLatch(1).await();
        } catch (Throwable failure) {
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private static void configure(Settings.Builder settings, String port) {
        settings.put("network.host", "127.0.0.1").put("http.port", port).put("transport.port", "0");
        settings.putList("node.roles", "cluster_manager", "data", "ingest");
        settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        // The collector leaves garbage lying until there is no room; counted as memory, it refuses every request.
        settings.put("indices.breaker.total.use_real_memory", false);
    }

    private static void publish(HttpServerTransport http, Path file) throws java.io.IOException {
        TransportAddress address = http.boundAddress().publishAddress();
        Path part = file.resolveSibling(file.getFileName() + ".part");
        Files.writeString(part, "http://127.0.0.1:" + address.getPort() + "\n");
        Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private static void close(OpenSearchRunner runner) {
        try {
            runner.close();
        } catch (java.io.IOException failure) {
            failure.printStackTrace();
        }
    }
}
