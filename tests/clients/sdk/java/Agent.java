import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.stream.Stream;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.http.apache5.Apache5HttpClient;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.ChecksumMode;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.CopyObjectRequest;
import software.amazon.awssdk.services.s3.model.CreateBucketRequest;
import software.amazon.awssdk.services.s3.model.DeleteBucketRequest;
import software.amazon.awssdk.services.s3.model.DeleteObjectRequest;
import software.amazon.awssdk.services.s3.model.DeleteObjectsRequest;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.ListObjectsV2Request;
import software.amazon.awssdk.services.s3.model.ListObjectsV2Response;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.S3Error;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/**
 * The AWS SDK for Java at one endpoint: a question per line in, an answer per line out. See
 * tests/clients/sdks.py. Its argument is "sync" for S3Client, on Apache's HTTP client, or "async"
 * for S3AsyncClient in pure Java, on netty, with its own parts and its transfer manager.
 */
abstract class Agent {
  static final int PART = 8 << 20;

  // What differs between the two clients.

  abstract void makeBucket(CreateBucketRequest request);

  abstract List<String> buckets();

  abstract void upload(Path path, String bucket, String key) throws IOException;

  abstract void uploadTree(Path folder, String bucket, String prefix) throws IOException;

  abstract void downloadTree(String bucket, String prefix, Path folder) throws IOException;

  abstract List<ListObjectsV2Response> pages(ListObjectsV2Request request);

  abstract void copy(CopyObjectRequest request);

  abstract void delete(DeleteObjectRequest request);

  abstract List<S3Error> delete(DeleteObjectsRequest request);

  abstract void removeBucket(DeleteBucketRequest request);

  abstract String put(PutObjectRequest request, String text);

  abstract String get(GetObjectRequest request);

  private S3Presigner presigner;

  Object answer(String asked, List<JsonNode> with) throws IOException {
    String first = text(with, 0);
    String second = text(with, 1);
    String third = text(with, 2);
    switch (asked) {
      case "make_bucket":
        makeBucket(CreateBucketRequest.builder().bucket(first).build());
        return null;
      case "buckets":
        return buckets();
      case "upload":
        upload(Path.of(first), second, third);
        return null;
      case "upload_tree":
        uploadTree(Path.of(first), second, third);
        return null;
      case "download_tree":
        downloadTree(first, second, Path.of(third));
        return null;
      case "list_names":
        return listNames(first, second);
      case "copy":
        copy(copying(first, second, third));
        return null;
      case "move":
        copy(copying(first, second, third));
        delete(DeleteObjectRequest.builder().bucket(first).key(second).build());
        return null;
      case "presign":
        return presigner
            .presignGetObject(
                how ->
                    how.signatureDuration(Duration.ofMinutes(10))
                        .getObjectRequest(get -> get.bucket(first).key(second)))
            .url()
            .toString();
      case "delete":
        delete(DeleteObjectRequest.builder().bucket(first).key(second).build());
        return null;
      case "empty":
        empty(first);
        return null;
      case "remove_bucket":
        removeBucket(DeleteBucketRequest.builder().bucket(first).build());
        return null;
      case "put":
        Map<String, JsonNode> how = with.get(3).asObject();
        return put(
            PutObjectRequest.builder()
                .bucket(first)
                .key(second)
                .ifMatch(option(how, "if_match"))
                .ifNoneMatch(option(how, "if_none_match"))
                .checksumAlgorithm(option(how, "checksum"))
                .build(),
            third);
      case "get":
        return get(
            GetObjectRequest.builder()
                .bucket(first)
                .key(second)
                .checksumMode(ChecksumMode.ENABLED)
                .build());
      default:
        throw new IllegalArgumentException("no \"" + asked + "\" here");
    }
  }

  private static String text(List<JsonNode> with, int number) {
    return number < with.size() ? with.get(number).asString() : null;
  }

  private static String option(Map<String, JsonNode> how, String name) {
    return how.containsKey(name) ? how.get(name).asString() : null;
  }

  private static CopyObjectRequest copying(String bucket, String source, String target) {
    return CopyObjectRequest.builder()
        .sourceBucket(bucket)
        .sourceKey(source)
        .destinationBucket(bucket)
        .destinationKey(target)
        .build();
  }

  private List<String> listNames(String bucket, String prefix) {
    List<String> found = new ArrayList<>();
    // Small pages, so that there are several.
    ListObjectsV2Request request =
        ListObjectsV2Request.builder()
            .bucket(bucket)
            .prefix(prefix)
            .delimiter("/")
            .maxKeys(3)
            .build();
    for (ListObjectsV2Response page : pages(request)) {
      page.commonPrefixes().forEach(each -> found.add(each.prefix().substring(prefix.length())));
      page.contents().forEach(each -> found.add(each.key().substring(prefix.length())));
    }
    return found;
  }

  List<String> keys(String bucket, String prefix) {
    List<String> found = new ArrayList<>();
    ListObjectsV2Request request =
        ListObjectsV2Request.builder().bucket(bucket).prefix(prefix).maxKeys(33).build();
    pages(request).forEach(page -> page.contents().forEach(each -> found.add(each.key())));
    return found;
  }

  private void empty(String bucket) {
    List<ObjectIdentifier> objects =
        keys(bucket, "").stream().map(key -> ObjectIdentifier.builder().key(key).build()).toList();
    List<S3Error> errors =
        delete(
            DeleteObjectsRequest.builder()
                .bucket(bucket)
                .delete(delete -> delete.objects(objects))
                .build());
    if (!errors.isEmpty()) {
      throw new IllegalStateException(errors.toString());
    }
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Agent agent = null;
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Map<String, JsonNode> question = JsonNode.parser().parse(line).asObject();
      JsonWriter writer = JsonWriter.create().writeStartObject();
      try {
        Object result = null;
        if (agent == null) {
          agent = make(arguments[0], question);
        } else {
          result = agent.answer(question.get("do").asString(), question.get("with").asArray());
        }
        writer.writeFieldName("result");
        if (result instanceof List<?> list) {
          writer.writeStartArray();
          list.forEach(each -> writer.writeValue((String) each));
          writer.writeEndArray();
        } else if (result instanceof String text) {
          writer.writeValue(text);
        } else {
          writer.writeNull();
        }
      } catch (Exception error) {
        Throwable said = error instanceof CompletionException ? error.getCause() : error;
        error.printStackTrace();
        writer.writeFieldName("error").writeValue(said.toString());
      }
      out.println(new String(writer.writeEndObject().getBytes(), StandardCharsets.UTF_8));
    }
    System.exit(0);
  }

  private static Agent make(String kind, Map<String, JsonNode> given) throws Exception {
    StaticCredentialsProvider credentials =
        StaticCredentialsProvider.create(
            AwsBasicCredentials.create(
                given.get("access_key").asString(), given.get("secret_key").asString()));
    URI url = URI.create(given.get("url").asString());
    TrustManager[] trusted =
        given.get("certfile").isNull() ? null : trust(given.get("certfile").asString());
    Agent made = kind.equals("sync") ? new Sync(url, credentials, trusted)
        : new Async(url, credentials, trusted);
    made.presigner =
        S3Presigner.builder()
            .endpointOverride(url)
            .region(Region.US_EAST_1)
            .credentialsProvider(credentials)
            .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build())
            .build();
    return made;
  }

  private static TrustManager[] trust(String certfile) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (InputStream file = Files.newInputStream(Path.of(certfile))) {
      store.setCertificateEntry(
          "authority", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory factory =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(store);
    return factory.getTrustManagers();
  }

  /** S3Client. */
  static final class Sync extends Agent {
    private final S3Client client;

    Sync(URI url, StaticCredentialsProvider credentials, TrustManager[] trusted) {
      Apache5HttpClient.Builder http = Apache5HttpClient.builder();
      if (trusted != null) {
        http.tlsTrustManagersProvider(() -> trusted);
      }
      client =
          S3Client.builder()
              .endpointOverride(url)
              .region(Region.US_EAST_1)
              .credentialsProvider(credentials)
              .forcePathStyle(true)
              .httpClientBuilder(http)
              .build();
    }

    @Override
    void makeBucket(CreateBucketRequest request) {
      client.createBucket(request);
    }

    @Override
    List<String> buckets() {
      return client.listBuckets().buckets().stream().map(bucket -> bucket.name()).toList();
    }

    @Override
    void upload(Path path, String bucket, String key) throws IOException {
      if (Files.size(path) <= PART) {
        client.putObject(put -> put.bucket(bucket).key(key), RequestBody.fromFile(path));
        return;
      }
      String id = client.createMultipartUpload(made -> made.bucket(bucket).key(key)).uploadId();
      List<CompletedPart> parts = new ArrayList<>();
      try (InputStream file = Files.newInputStream(path)) {
        for (byte[] block = file.readNBytes(PART); block.length > 0; ) {
          int number = parts.size() + 1;
          // A stream, as programs send it: its checksum goes after the bytes.
          RequestBody body =
              RequestBody.fromInputStream(new ByteArrayInputStream(block), block.length);
          String etag =
              client
                  .uploadPart(
                      part -> part.bucket(bucket).key(key).uploadId(id).partNumber(number), body)
                  .eTag();
          parts.add(CompletedPart.builder().partNumber(number).eTag(etag).build());
          block = file.readNBytes(PART);
        }
      }
      client.completeMultipartUpload(
          done ->
              done.bucket(bucket)
                  .key(key)
                  .uploadId(id)
                  .multipartUpload(upload -> upload.parts(parts)));
    }

    @Override
    void uploadTree(Path folder, String bucket, String prefix) throws IOException {
      try (Stream<Path> paths = Files.walk(folder)) {
        for (Path path : (Iterable<Path>) paths.filter(Files::isRegularFile)::iterator) {
          upload(path, bucket, prefix + folder.relativize(path));
        }
      }
    }

    @Override
    void downloadTree(String bucket, String prefix, Path folder) throws IOException {
      for (String key : keys(bucket, prefix)) {
        Path path = folder.resolve(key.substring(prefix.length()));
        Files.createDirectories(path.getParent());
        client.getObject(get -> get.bucket(bucket).key(key), ResponseTransformer.toFile(path));
      }
    }

    @Override
    List<ListObjectsV2Response> pages(ListObjectsV2Request request) {
      return client.listObjectsV2Paginator(request).stream().toList();
    }

    @Override
    void copy(CopyObjectRequest request) {
      client.copyObject(request);
    }

    @Override
    void delete(DeleteObjectRequest request) {
      client.deleteObject(request);
    }

    @Override
    List<S3Error> delete(DeleteObjectsRequest request) {
      return client.deleteObjects(request).errors();
    }

    @Override
    void removeBucket(DeleteBucketRequest request) {
      client.deleteBucket(request);
    }

    @Override
    String put(PutObjectRequest request, String text) {
      return client.putObject(request, RequestBody.fromString(text)).eTag();
    }

    @Override
    String get(GetObjectRequest request) {
      return client.getObjectAsBytes(request).asUtf8String();
    }
  }

  /** S3AsyncClient, in pure Java. */
  static final class Async extends Agent {
    private final S3AsyncClient client;
    private final S3TransferManager transfer;

    Async(URI url, StaticCredentialsProvider credentials, TrustManager[] trusted) {
      NettyNioAsyncHttpClient.Builder http = NettyNioAsyncHttpClient.builder();
      if (trusted != null) {
        http.tlsTrustManagersProvider(() -> trusted);
      }
      client =
          S3AsyncClient.builder()
              .endpointOverride(url)
              .region(Region.US_EAST_1)
              .credentialsProvider(credentials)
              .forcePathStyle(true)
              .httpClientBuilder(http)
              .multipartEnabled(true)
              .multipartConfiguration(
                  parts -> parts.thresholdInBytes((long) PART).minimumPartSizeInBytes((long) PART))
              .build();
      transfer = S3TransferManager.builder().s3Client(client).build();
    }

    @Override
    void makeBucket(CreateBucketRequest request) {
      client.createBucket(request).join();
    }

    @Override
    List<String> buckets() {
      return client.listBuckets().join().buckets().stream().map(bucket -> bucket.name()).toList();
    }

    @Override
    void upload(Path path, String bucket, String key) {
      transfer
          .uploadFile(file -> file.source(path).putObjectRequest(put -> put.bucket(bucket).key(key)))
          .completionFuture()
          .join();
    }

    @Override
    void uploadTree(Path folder, String bucket, String prefix) {
      refuse(
          transfer
              .uploadDirectory(all -> all.source(folder).bucket(bucket).s3Prefix(prefix))
              .completionFuture()
              .join()
              .failedTransfers());
    }

    @Override
    void downloadTree(String bucket, String prefix, Path folder) {
      refuse(
          transfer
              .downloadDirectory(
                  all ->
                      all.destination(folder)
                          .bucket(bucket)
                          .listObjectsV2RequestTransformer(list -> list.prefix(prefix)))
              .completionFuture()
              .join()
              .failedTransfers());
    }

    private static void refuse(List<?> failed) {
      if (!failed.isEmpty()) {
        throw new IllegalStateException(failed.toString());
      }
    }

    @Override
    List<ListObjectsV2Response> pages(ListObjectsV2Request request) {
      List<ListObjectsV2Response> found = new ArrayList<>();
      client.listObjectsV2Paginator(request).subscribe(found::add).join();
      return found;
    }

    @Override
    void copy(CopyObjectRequest request) {
      // With parts where the source is big.
      client.copyObject(request).join();
    }

    @Override
    void delete(DeleteObjectRequest request) {
      client.deleteObject(request).join();
    }

    @Override
    List<S3Error> delete(DeleteObjectsRequest request) {
      return client.deleteObjects(request).join().errors();
    }

    @Override
    void removeBucket(DeleteBucketRequest request) {
      client.deleteBucket(request).join();
    }

    @Override
    String put(PutObjectRequest request, String text) {
      return client.putObject(request, AsyncRequestBody.fromString(text)).join().eTag();
    }

    @Override
    String get(GetObjectRequest request) {
      ResponseBytes<?> bytes = client.getObject(request, AsyncResponseTransformer.toBytes()).join();
      return bytes.asUtf8String();
    }
  }
}
