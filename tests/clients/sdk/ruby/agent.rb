# The AWS SDK for Ruby at one endpoint: a question per line in, an answer per line out.
# See tests/clients/sdks.py.

require "aws-sdk-s3"
require "fileutils"
require "json"

PART = 8 << 20

# Each method is one thing that people do with a bucket.
class Agent
  def initialize(settings)
    options = settings["certfile"] ? { ssl_ca_bundle: settings["certfile"] } : {}
    @client = Aws::S3::Client.new(
      endpoint: settings["url"],
      region: "us-east-1",
      force_path_style: true,
      access_key_id: settings["access_key"],
      secret_access_key: settings["secret_key"],
      **options
    )
    @s3 = Aws::S3::Resource.new(client: @client)
  end

  def make_bucket(bucket)
    @client.create_bucket(bucket: bucket)
    nil
  end

  def buckets
    @s3.buckets.map(&:name)
  end

  def upload(path, bucket, key)
    @s3.bucket(bucket).object(key).upload_file(path, multipart_threshold: PART)
    nil
  end

  def upload_tree(folder, bucket, prefix)
    Dir.glob("**/*", base: folder).each do |name|
      path = File.join(folder, name)
      upload(path, bucket, prefix + name) if File.file?(path)
    end
    nil
  end

  def download_tree(bucket, prefix, folder)
    @s3.bucket(bucket).objects(prefix: prefix).each do |object|
      path = File.join(folder, object.key.delete_prefix(prefix))
      FileUtils.mkdir_p(File.dirname(path))
      object.object.download_file(path)
    end
    nil
  end

  def list_names(bucket, prefix)
    found = []
    # Small pages, so that there are several.
    @client.list_objects_v2(bucket: bucket, prefix: prefix, delimiter: "/", max_keys: 3).each do |page|
      found += page.common_prefixes.map(&:prefix) + page.contents.map(&:key)
    end
    found.map { |name| name.delete_prefix(prefix) }
  end

  def copy(bucket, source, target)
    from = @s3.bucket(bucket).object(source)
    @s3.bucket(bucket).object(target).copy_from(from, multipart_copy: from.size > PART)
    nil
  end

  def move(bucket, source, target)
    @s3.bucket(bucket).object(source).move_to(bucket: bucket, key: target)
    nil
  end

  def presign(bucket, key)
    @s3.bucket(bucket).object(key).presigned_url(:get, expires_in: 600)
  end

  def delete(bucket, key)
    @client.delete_object(bucket: bucket, key: key)
    nil
  end

  def empty(bucket)
    @s3.bucket(bucket).objects.batch_delete!
    nil
  end

  def remove_bucket(bucket)
    @client.delete_bucket(bucket: bucket)
    nil
  end

  def put(bucket, key, text, options)
    more = options["checksum"] ? { checksum_algorithm: options["checksum"] } : {}
    @client.put_object(bucket: bucket, key: key, body: text, **more).etag
  end

  def get(bucket, key)
    @client.get_object(bucket: bucket, key: key, checksum_mode: "ENABLED").body.read.force_encoding("UTF-8")
  end
end

agent = nil
$stdout.sync = true
$stdin.each_line do |line|
  question = JSON.parse(line)
  answer = { result: nil }
  begin
    if agent.nil?
      agent = Agent.new(question)
    else
      answer[:result] = agent.public_send(question["do"], *question["with"])
    end
  rescue StandardError => error
    answer = { error: "#{error.class}: #{error.message}" }
  end
  puts JSON.generate(answer)
end
