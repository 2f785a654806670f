"""Checks YAML files against a JSON schema: validate.py SCHEMA FILE... One line for each mistake, and exit status 1.

A schema with `kinds` (Kubernetes) has one definition for each kind of document.
"""

import json
import sys

import jsonschema
import yaml

schema = json.load(open(sys.argv[1], encoding="utf-8"))
wrong = False
for path in sys.argv[2:]:
    for number, document in enumerate(yaml.safe_load_all(open(path, encoding="utf-8"))):
        chosen = schema
        if "kinds" in schema:
            definition = schema["kinds"].get((document or {}).get("kind"))
            if definition is None:
                print(f"{path}[{number}]: no such kind: {document}")
                wrong = True
                continue
            chosen = {"$ref": definition, "$defs": schema["$defs"]}
        validator = jsonschema.validators.validator_for(schema)(chosen)
        for error in validator.iter_errors(document):
            place = ".".join(str(part) for part in error.absolute_path)
            print(f"{path}[{number}] {place}: {error.message}")
            wrong = True
sys.exit(1 if wrong else 0)
