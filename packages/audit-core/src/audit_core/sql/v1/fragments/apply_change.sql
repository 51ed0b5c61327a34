-- Puts down what is under the two keys of a change after it.
            IF befores[candidate] > 0 AND guests[old_keys[candidate]] = befores[candidate] THEN
                guests[old_keys[candidate]] := 0;
            ELSIF befores[candidate] > 0 THEN
                states[old_keys[candidate]] := guests[old_keys[candidate]];
                guests[old_keys[candidate]] := 0;
            END IF;
            IF states[new_keys[candidate]] > 0 THEN
                guests[new_keys[candidate]] := afters[candidate];
            ELSE
                states[new_keys[candidate]] := afters[candidate];
            END IF;
