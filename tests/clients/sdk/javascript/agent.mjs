// The AWS SDK for JavaScript at one endpoint: a question per line in, an answer per line out.
// See tests/clients/sdks.py.

import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";

import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListBucketsCommand,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const PART = 8 << 20;
const AT_ONCE = 8;

let client;

async function each(list, act) {
  const left = [...list];
  const worker = async () => {
    while (left.length) await act(left.shift());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function* pages(Bucket, Prefix, more = {}) {
  // Small pages, so that there are several.
  yield* paginateListObjectsV2({ client, pageSize: 33 }, { Bucket, Prefix, ...more });
}

async function keys(bucket, prefix) {
  const found = [];
  for await (const page of pages(bucket, prefix)) {
    found.push(...(page.Contents ?? []).map((object) => object.Key));
  }
  return found;
}

const doing = {
  async make_bucket(Bucket) {
    await client.send(new CreateBucketCommand({ Bucket }));
  },

  async buckets() {
    return (await client.send(new ListBucketsCommand({}))).Buckets.map((bucket) => bucket.Name);
  },

  async upload(path, Bucket, Key) {
    // A stream, so that its checksums are sent after the bytes.
    const params = { Bucket, Key, Body: createReadStream(path) };
    await new Upload({ client, params, partSize: PART }).done();
  },

  async upload_tree(folder, Bucket, prefix) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    await each(files, async (entry) => {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const ContentLength = (await stat(path)).size;
      const Key = prefix + relative(folder, path);
      const Body = createReadStream(path);
      await client.send(new PutObjectCommand({ Bucket, Key, Body, ContentLength }));
    });
  },

  async download_tree(Bucket, prefix, folder) {
    await each(await keys(Bucket, prefix), async (Key) => {
      const path = join(folder, Key.slice(prefix.length));
      await mkdir(dirname(path), { recursive: true });
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
      await pipeline(Body, createWriteStream(path));
    });
  },

  async list_names(bucket, prefix) {
    const found = [];
    for await (const page of pages(bucket, prefix, { Delimiter: "/" })) {
      found.push(...(page.CommonPrefixes ?? []).map((each) => each.Prefix));
      found.push(...(page.Contents ?? []).map((object) => object.Key));
    }
    return found.map((name) => name.slice(prefix.length));
  },

  async copy(Bucket, source, Key) {
    const CopySource = `${Bucket}/${encodeURIComponent(source)}`;
    await client.send(new CopyObjectCommand({ Bucket, Key, CopySource }));
  },

  async move(bucket, source, target) {
    await doing.copy(bucket, source, target);
    await doing.delete(bucket, source);
  },

  async presign(Bucket, Key) {
    return getSignedUrl(client, new GetObjectCommand({ Bucket, Key }), { expiresIn: 600 });
  },

  async delete(Bucket, Key) {
    await client.send(new DeleteObjectCommand({ Bucket, Key }));
  },

  async empty(Bucket) {
    const Objects = (await keys(Bucket, "")).map((Key) => ({ Key }));
    const { Errors } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    if (Errors?.length) throw new Error(JSON.stringify(Errors));
  },

  async remove_bucket(Bucket) {
    await client.send(new DeleteBucketCommand({ Bucket }));
  },

  async put(Bucket, Key, Body, options) {
    const answer = await client.send(
      new PutObjectCommand({
        Bucket,
        Key,
        Body,
        IfMatch: options.if_match,
        IfNoneMatch: options.if_none_match,
        ChecksumAlgorithm: options.checksum,
      }),
    );
    return answer.ETag;
  },

  async get(Bucket, Key) {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
    return Body.transformToString();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  let answer = { result: null };
  try {
    if (!client) {
      client = new S3Client({
        endpoint: question.url,
        region: "us-east-1",
        forcePathStyle: true,
        credentials: {
          accessKeyId: question.access_key,
          secretAccessKey: question.secret_key,
        },
      });
    } else {
      answer.result = (await doing[question.do](...question.with)) ?? null;
    }
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
