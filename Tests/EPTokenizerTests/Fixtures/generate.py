"""Writes the fixtures: small tokenizers in the styles of known models, and what they must give.

Needs the Python package `tokenizers` (0.23.3 made the committed files).
Usage: python generate.py FOLDER [CASES]
"""

import json
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import processors, trainers

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + REST
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST
)
DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    + "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    + "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]

CORPUS = [
    "The experts are placed so that no rank waits for another; it's what we've planned.",
    "Dispatch and combine move tokens between ranks. They'll overlap with the attention.",
    "Tokens 123 and 4567 are routed to experts 8, 9 and 10 of 256 in 58 layers.",
    "für größere Modelle, l'été dernier, años después, привет мир, 你好世界, こんにちは",
    "def route(x):\n    return topk(softmax(x @ w), k=8)\n\n\nif __name__ == '__main__':\n",
] * 4

TEXTS = [
    "", " ", "  ", "a", " a", "a ", "\n", "\r\n\r\n x", "Hello world", "  leading", "trailing   ",
    "it's I'LL we'VE 'S 'x '\u017f don'\u017ftop", "12345678 1 22 333 4444", "a  b   c\n\n  d\t e",
    "<s>Hello</s>", "x<|end|>y <|end|>  z", "<|end|>", "<|end|><|end_of|>", "e\u0301 \u00e9 A\u030a",
    "你好世界, 東京 カタカナ ひらがな 漢字123", "CamelCaseHTTPServer iPhone ABCdef's ABC'S",
    "\u0661\u0662\u0663 \u00bd\u00b2 \u2167", "emoji \U0001f600\U0001f469\u200d\U0001f4bb!",
    "\u00a0nbsp\u00a0\u2003em", "zero\u200bwidth\ufeff", "path/to/file//\n/x", "!hello #tag @user (x)",
    "\u0301\u0301 abc", "\u01c5 \u02b0abc \u00aa", "\x00\x01\x7f", "▁x ▁ ▁▁", "\u212b \u2126",
    "!!!\n\n???\r\n", "   \n   \n x", "tab\t\ttab", "'", "''s", "a'", "\u1100\u1161\u11a8 각",
]
ALPHABET = list(
    "abcdeTHRs  \n\r\t'1234.,!?/_<|>éßжø你好カ́ͅ٣½²\u00a0\u2003\u200b😀ªǅʰ\u017f▁#\x07"
)


def texts(count):
    generator = random.Random(2026)
    result = list(TEXTS)
    while len(result) < count:
        result.append("".join(generator.choices(ALPHABET, k=generator.randint(1, 24))))
    return result


def byte_level(steps, normalizer=None, template=False, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre.ByteLevel.alphabet(), special_tokens=["<s>", "</s>"],
        show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(["<|end|>", "<|end_of|>"])
    tokenizer.add_tokens([AddedToken("<tool>", rstrip=True, lstrip=True, normalized=False)])
    if template:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]),
        ])
    return tokenizer


def split(pattern):
    return pre.Split(Regex(pattern), "isolated")


def plain_bytes():
    return pre.ByteLevel(add_prefix_space=False, use_regex=False)


def sentencepiece(metaspace):
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    change = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    if metaspace:
        tokenizer.pre_tokenizer = pre.Metaspace("▁", "first", split=False)
    else:
        tokenizer.normalizer = change
    tokenizer.train_from_iterator(
        [line[:30] for line in CORPUS[:3]] + CORPUS[3:5],
        trainers.BpeTrainer(vocab_size=430, special_tokens=specials, show_progress=False))
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))])
    # The tokens of bytes are part of the vocabulary only.
    text = json.loads(tokenizer.to_str())
    text["added_tokens"] = text["added_tokens"][:3]
    return Tokenizer.from_str(json.dumps(text))


def pieces(tokenizer, text):
    """What the text is split into before tokens are merged, added tokens aside."""
    if tokenizer.normalizer:
        text = tokenizer.normalizer.normalize_str(text)
    if not text or not tokenizer.pre_tokenizer:
        return [text] if text else []
    return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text) if piece]


def main():
    folder = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    made = {
        "gpt2": byte_level([pre.ByteLevel(add_prefix_space=True)]),
        "llama3": byte_level([split(LLAMA3), plain_bytes()], template=True, ignore_merges=True),
        "qwen2": byte_level([split(QWEN2), plain_bytes()], normalizers.NFC()),
        "deepseek": byte_level(
            [split(p) for p in DEEPSEEK] + [plain_bytes()], normalizers.Sequence([])),
        "o200k": byte_level([split(O200K), plain_bytes()]),
        "mixtral": sentencepiece(False),
        "metaspace": sentencepiece(True),
    }
    for name, tokenizer in made.items():
        with open(f"{folder}/{name}.json", "w") as file:
            json.dump(json.loads(tokenizer.to_str()), file, separators=(",", ":"))
            file.write("\n")
        cases = []
        for text in texts(count) + ["a <tool>  b"]:
            ids = tokenizer.encode(text).ids
            cases.append({
                "text": text, "ids": ids, "pieces": pieces(tokenizer, text),
                "plain": tokenizer.encode(text, add_special_tokens=False).ids,
                "decoded": tokenizer.decode(ids),
                "whole": tokenizer.decode(ids, skip_special_tokens=False),
            })
        with open(f"{folder}/{name}.cases.json", "w") as file:
            file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()
