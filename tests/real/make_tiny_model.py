"""Writes a tiny Llama with random weights: real enough for a real server, small enough for any machine.

Owns its words, its tokenizer and its weights; the same bytes come out each time, with nothing but the
standard library. What the tests rely on:

- It says whole words, each of which is one token, and never a part of one. So the tokens of a text that it
  wrote are the tokens that it wrote, and a text can be given back to it to go on with.
- It can spell: every byte is a token, so that a grammar always finds something allowed.
- An answer ends by itself after some hundred tokens, or never with `ignore_eos`.
- Its words depend on the words before, so that answers differ, and a text that was cut is noticed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import struct
from array import array
from pathlib import Path
from typing import Any

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN = 64, 2, 2, 1, 32, 128
CONTEXT = 4096
END, START, STOP, PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
SPECIAL = (END, START, STOP, PAD)
TOOLS = ("<tool_call>", "</tool_call>")  # one token each, kept in the text
TEXT = (
    "the a router sends each request to backend model local remote server queue cache token price budget "
    "latency deadline region retry stream chunk answer question policy rule class task tier user team ticket "
    "report summary plan code test data file line name value key time day hour is are was has can will may "
    "must and or but if when then while for of in on at by with from as not more less fast slow small large "
    "cheap first last next open closed full empty ready"
)
WORDS = TEXT.split()
MARKS = {".": 0.03, ",": 0.02, "?": 0.01}  # and how often, beside the words
JSON_MARKS = '"{}[]:-0123456789'
JSON_SHARE = 1e-7  # of each: seldom in a text, and likely where a grammar allows little else
STOP_SHARE = 0.05
STEADY = 4.0  # every embedding's first dimension: what is sure to be there for the biases
NEVER = -80.0

CHAT_TEMPLATE = (
    "{%- if tools %}<|im_start|>system\ntools: {{ tools | tojson }}<|im_end|>\n{%- endif %}"
    "{%- for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{%- if m['content'] is string %}{{ m['content'] }}{%- endif %}"
    "{%- if m['tool_calls'] is defined and m['tool_calls'] %}{{ m['tool_calls'] | tojson }}{%- endif %}"
    "<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}"
)


def byte_letters() -> list[str]:
    """Return the letter that stands for each byte in a byte-level vocabulary (GPT-2's alphabet)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


LETTERS = byte_letters()


def spelt(text: str) -> str:
    """Return a text in the letters of the vocabulary."""
    return "".join(LETTERS[byte] for byte in text.encode())


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the number of each token, and the merges, which grow each word from its first letter on."""
    numbers = {token: number for number, token in enumerate([*SPECIAL, *TOOLS, *sorted(LETTERS)])}
    merges = []
    for word in WORDS:
        letters = spelt(f" {word}")
        for length in range(1, len(letters)):
            if letters[: length + 1] not in numbers:
                numbers[letters[: length + 1]] = len(numbers)
                merges.append((letters[:length], letters[length]))
    return numbers, merges


def tokenizer(numbers: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what stands in tokenizer.json."""
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": numbers[token], "content": token, "special": token in SPECIAL, **added}
            for token in (*SPECIAL, *TOOLS)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": numbers,
            "merges": [list(pair) for pair in merges],
        },
    }


def biases(numbers: dict[str, int]) -> list[float]:
    """Return the logarithm of how often each token comes, where nothing else weighs."""
    shares = dict.fromkeys(JSON_MARKS, JSON_SHARE) | {STOP: STOP_SHARE}
    shares |= {spelt(mark): share for mark, share in MARKS.items()}
    word_share = (1 - sum(shares.values())) / len(WORDS)
    shares |= {spelt(f" {word}"): word_share for word in WORDS}
    return [math.log(shares[token]) if token in shares else NEVER for token in numbers]


def weights(
    numbers: dict[str, int], chance: random.Random
) -> dict[str, tuple[list[int], array[float]]]:
    """Return shape and values of each weight, by its name in a Llama's checkpoint.

    The first dimension of the residual stream is the same at every place, and no layer reads or writes it:
    through it the biases reach the last layer, and nothing else.
    """

    def matrix(rows: int, columns: int, *, scale: float = 1.0, writes: bool = False) -> Any:
        spread = scale / math.sqrt(columns)
        values = array("f", (chance.gauss(0, spread) for _ in range(rows * columns)))
        if writes:
            values[:columns] = array("f", bytes(4 * columns))
        else:
            values[::columns] = array("f", bytes(4 * rows))
        return [rows, columns], values

    def ones() -> Any:
        return [HIDDEN], array("f", [1.0] * HIDDEN)

    size = len(numbers)
    embedding = array("f")
    for _ in range(size):
        row = [chance.gauss(0, 1) for _ in range(HIDDEN - 1)]
        length = math.hypot(*row)
        embedding.extend([STEADY, *(STEADY * value / length for value in row)])
    found = {"model.embed_tokens.weight": ([size, HIDDEN], embedding), "model.norm.weight": ones()}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        found |= {
            f"{name}input_layernorm.weight": ones(),
            f"{name}post_attention_layernorm.weight": ones(),
            f"{name}self_attn.q_proj.weight": matrix(HEADS * HEAD_DIM, HIDDEN, scale=2.0),
            f"{name}self_attn.k_proj.weight": matrix(KV_HEADS * HEAD_DIM, HIDDEN, scale=2.0),
            f"{name}self_attn.v_proj.weight": matrix(KV_HEADS * HEAD_DIM, HIDDEN),
            f"{name}self_attn.o_proj.weight": matrix(
                HIDDEN, HEADS * HEAD_DIM, scale=3.0, writes=True
            ),
            f"{name}mlp.gate_proj.weight": matrix(FFN, HIDDEN),
            f"{name}mlp.up_proj.weight": matrix(FFN, HIDDEN),
            f"{name}mlp.down_proj.weight": matrix(HIDDEN, FFN, writes=True),
        }
    shape, head = matrix(size, HIDDEN)
    steady_after_norm = math.sqrt(HIDDEN / 2)
    for number, bias in enumerate(biases(numbers)):
        head[number * HIDDEN] = bias / steady_after_norm
    stop = numbers[STOP] * HIDDEN
    head[stop + 1 : stop + HIDDEN] = array("f", bytes(4 * (HIDDEN - 1)))  # it ends at a steady rate
    return found | {"lm_head.weight": (shape, head)}


def write_weights(file: Path, found: dict[str, tuple[list[int], array[float]]]) -> None:
    """Write them as safetensors: the length of a JSON head, the head, the values one after the other."""
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (shape, values) in found.items():
        begin, end = end, end + len(values) * values.itemsize
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, values in found.values():
            values.tofile(out)


def write_model(out: Path, *, seed: int = 1) -> None:
    """Write every file that a server wants to see."""
    out.mkdir(parents=True, exist_ok=True)
    numbers, merges = vocabulary()
    ends = {"eos_token_id": numbers[STOP], "pad_token_id": numbers[PAD]}
    files: dict[str, Any] = {
        "tokenizer.json": tokenizer(numbers, merges),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "bos_token": None,
            "eos_token": STOP,
            "pad_token": PAD,
            "unk_token": None,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
        "special_tokens_map.json": {"eos_token": STOP, "pad_token": PAD},
        "generation_config.json": ends,
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(numbers),
            "hidden_size": HIDDEN,
            "intermediate_size": FFN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD_DIM,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            "hidden_act": "silu",
            "rope_theta": 10_000.0,
            "tie_word_embeddings": False,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": None,
            "torch_dtype": "float32",
            **ends,
        },
    }
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=1) + "\n")
    write_weights(out / "model.safetensors", weights(numbers, random.Random(seed)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    write_model(parser.parse_args().out)
