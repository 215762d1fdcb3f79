"""Compares how Pannier writes conversations with transformers' apply_chat_template, token id for token id.

The sample's tokenizer is given chat templates of the forms that Pannier knows, one after the other, and some
conversations: with and without a system message, of several turns, with blanks and special characters. The templates
below are written for this test with the literals that the models named beside them use; TEMPLATES names a folder of
models' own *.jinja files (llama.cpp has some in models/templates), of which those of known form are compared too.

apply_chat_template gives no bos where the template writes none; the models' pages then let the tokenizer add it, and so
does Pannier.

Usage: chat_peer.py [--golden] [TEMPLATES], after `swift build -c release`. --golden writes
Tests/TokenizersTests/Golden/chat.json. Needs transformers.
"""

import json
import pathlib
import sys
import tempfile

import transformers

from common import ROOT, SAMPLE, run

transformers.logging.set_verbosity_error()

SPLIT_SYSTEM = ("{% set first = messages[0]['role'] == 'system' %}{% if first %}{% set system_message = messages[0]['content'] %}"
                "{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}")


def mistral(opening, closing, answer, place=None):
    """A template of Mistral's: what opens and closes an instruction, what an answer is, where the system message stands."""
    carried = f"{{% if loop.{place} and system_message is defined %}}{{{{ '{opening}' + system_message + '\\n\\n' + " \
              f"message['content'] + '{closing}' }}}}{{% else %}}" if place else ""
    refuse = "" if place else "{% if first %}{{ raise_exception('no system') }}{% endif %}"
    return (SPLIT_SYSTEM + refuse + "{{ bos_token }}{% for message in turns %}{% if message['role'] == 'user' %}" + carried
            + f"{{{{ '{opening}' + message['content'] + '{closing}' }}}}" + ("{% endif %}" if place else "")
            + f"{{% else %}}{{{{ {answer} }}}}{{% endif %}}{{% endfor %}}")


HEADER = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>'"
LLAMA3_END = "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
CHATML = ("{% for message in messages %}%s{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
TEMPLATES = {
    # TinyLlama-1.1B-Chat, Zephyr
    "zephyr": "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
              "{% endfor %}{# <|user|> <|system|> #}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    # Llama-2-7b-chat
    "llama2": SPLIT_SYSTEM + "{% for message in turns %}{% set text = message['content'] %}{% if loop.first and first %}"
              "{% set text = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + text %}{% endif %}"
              "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}"
              "{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    # Meta-Llama-3-8B-Instruct
    "llama3": "{{ bos_token }}{% for message in messages %}{{ " + HEADER + " }}{% endfor %}" + LLAMA3_END,
    # Llama-3.1-8B-Instruct
    "llama3.1": "{% set date_string = \"26 Jul 2024\" %}" + SPLIT_SYSTEM + "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\n' "
                "+ 'Cutting Knowledge Date: December 2023\\n' + 'Today Date: ' + date_string + '\\n\\n' }}"
                "{% if first %}{{ system_message | trim }}{% endif %}{{ '<|eot_id|>' }}{% for message in turns %}{{ "
                + HEADER + " }}{% endfor %}" + LLAMA3_END,
    # OpenHermes and others
    "chatml": CHATML.replace("%s", ""),
    # Qwen2-Instruct
    "chatml with a default": CHATML.replace("%s", "{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\nYou "
                                            "are a helpful assistant.<|im_end|>\\n' }}{% endif %}"),
    # Mistral-7B-Instruct-v0.1, v0.2, v0.2 as amended, Mistral-Large-2407, -Nemo
    "mistral v0.1": mistral("[INST] ", " [/INST]", "message['content'] + eos_token + ' '"),
    "mistral v0.2": mistral("[INST] ", " [/INST]", "message['content'] + eos_token"),
    "mistral v1": mistral(" [INST] ", " [/INST]", "' ' + message['content'] + eos_token", "first"),
    "mistral v3": mistral("[INST] ", "[/INST]", "' ' + message['content']|trim + eos_token", "last"),
    "mistral nemo": mistral("[INST]", "[/INST]", "message['content'] + eos_token", "last"),
    # Mistral-Large-2411
    "mistral v7": "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] "
                  "+ '[/INST]' }}{% elif message['role'] == 'system' %}{{ '[SYSTEM_PROMPT] ' + message['content'] + "
                  "'[/SYSTEM_PROMPT]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}",
}


def turns(*texts, system=None):
    said = [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system is not None else []) + said


CONVERSATIONS = [
    turns("Who art thou?"),
    turns("Who art thou?", system="Be brief."),
    turns("Hello", "Peace be unto you.", "What is thy name?"),
    turns("Hello", "  Peace be unto you. \n", " What is thy name? ", system=" Thou art a shepherd.\n"),
    turns("naïve 日本 🚀\tand \"quotes\" {{ braces }} <b>&amp;</b>"),
    turns("\n\n leading and trailing \u00a0\u3000\n", system=""),
    turns("a </s> and <s> inside, <|user|> too", "[INST] no [/INST]", "<0x41> \\n"),
    turns("", "", ""),
    turns("a\x1f\x1c", "\x1db", "c"),
]


def main():
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    templates = dict(TEMPLATES)
    for path in sorted(pathlib.Path(arguments[0]).glob("*.jinja")) if arguments else []:
        templates[path.stem] = path.read_text()
    tokenizer = transformers.AutoTokenizer.from_pretrained(SAMPLE)
    golden, compared, different, refused, unknown = [], 0, 0, 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "tokenizer.model").write_bytes((SAMPLE / "tokenizer.model").read_bytes())
        config = json.loads((SAMPLE / "tokenizer_config.json").read_text())
        for title, template in templates.items():
            (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
            entry = {"name": title, "template": template, "conversations": []}
            for messages in CONVERSATIONS:
                (folder / "chat.json").write_text(json.dumps(messages))
                done = run("tokenize", folder, "--chat", folder / "chat.json", "--json")
                ours = json.loads(done.stdout)["ids"] if done.returncode == 0 else None
                if "unknown form" in done.stderr:
                    unknown.append(title)
                    break
                try:
                    text = tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=True,
                                                         tokenize=False)
                    theirs = tokenizer.encode(text, add_special_tokens=False)
                    if theirs[:1] != [tokenizer.bos_token_id]:
                        theirs = [tokenizer.bos_token_id] + theirs
                except Exception:  # the template's own refusal
                    theirs = None
                compared += 1
                refused += theirs is None
                if ours != theirs:
                    different += 1
                    print(f"FAIL {title}: {json.dumps(messages)}\n  theirs {theirs and tokenizer.decode(theirs)!r} {theirs}\n"
                          f"  ours   {ours and tokenizer.decode(ours)!r} {ours}\n  {done.stderr.strip()}")
                entry["conversations"].append({"messages": messages, "ids": theirs})
            if title in TEMPLATES:
                golden.append(entry)
    print(f"{len(templates) - len(unknown)} templates, {compared} conversations, {different} different, {refused} refused by "
          f"both or one; unknown forms: {', '.join(unknown) or 'none'}")
    if "--golden" in sys.argv:
        lines = ",\n".join(json.dumps(entry) for entry in golden)
        (ROOT / "Tests/TokenizersTests/Golden/chat.json").write_text(f"[{lines}]\n")
    sys.exit(1 if different else 0)


main()
