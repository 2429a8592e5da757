# A provider for the exec protocol whose servers are files, each with its line of the listing. It takes
# JSON apart with the shell alone, so that no process is started for it: its requests come from the
# scaler, which writes them without spaces.
IFS= read -r request
for verb; do :; done
# Each of these leaves what it finds in `found`; nothing if it is not there.
field() { found=${request##*\"$1\":\"}; if [ "$found" = "$request" ]; then found=; else found=${found%%\"*}; fi; }
owner() { found=${1##*\"muster-owner\":\"}; if [ "$found" = "$1" ]; then found=; else found=${found%%\"*}; fi; }
line_of() { found=; { IFS= read -r found <"$1"; } 2>/dev/null; }
owner_of() { line_of "$1"; owner "$found"; }

field folder; folder=$found
[ -d "$folder/servers" ] || { echo "the folder $folder is not there" >&2; exit 20; }
# The file is there for one call; of two that ask at once one has it.
fault() { [ -e "$folder/faults/$1" ] && rm "$folder/faults/$1" 2>/dev/null; }

hang=
if fault hang; then hang=1; fi
: >"$folder/calls/$$"
if [ -n "$hang" ]; then
    # A helper in the same process group has to go, too.
    sleep 1000 &
    wait
fi
case $verb in create | delete)
    if fault lose-request; then exit 1; fi
    if fault rate-limit; then exit 12; fi
    if fault lose-answer; then lost=1; exec >/dev/null; fi
    ;;
esac
case $verb in
create)
    field name; name=$found
    file=$folder/servers/$name
    if fault quota; then echo "quota of 10 exceeded" >&2; exit 10; fi
    if fault no-capacity; then echo "no host is free" >&2; exit 11; fi
    if fault echo; then printf '%s\n' "$request" >&2; exit 20; fi
    labels=${request#*\"labels\":}
    labels=${labels%%\}*}\}
    new="{\"id\":\"$name\",\"name\":\"$name\",\"labels\":$labels,\"phase\":\"active\"}"
    printf '%s\n' "$new" >"$folder/new-$$"
    if ln "$folder/new-$$" "$file" 2>/dev/null; then
        printf '{"id":"%s","already":false}\n' "$name"
    else
        owner_of "$file"; theirs=$found
        owner "$new"
        if [ "$found" = "$theirs" ]; then
            printf '{"id":"%s","already":true}\n' "$name"
        else
            echo "$name belongs to somebody else" >&2
            rm "$folder/new-$$"
            exit 20
        fi
    fi
    rm "$folder/new-$$"
    ;;
delete)
    field id; file=$folder/servers/$found
    field owner; ours=$found
    owner_of "$file"
    if [ ! -e "$file" ]; then
        echo '{"gone":true}'
    elif [ "$found" = "$ours" ]; then
        rm "$file"
        echo '{"gone":true}'
    else
        echo '{"refused":"it belongs to somebody else"}'
    fi
    ;;
describe)
    field id
    line_of "$folder/servers/$found"
    printf '%s\n' "${found:-{\"gone\":true\}}"
    ;;
list)
    field owner; ours=$found
    for file in "$folder"/servers/*; do
        line_of "$file"; line=$found
        owner "$line"
        if [ -n "$line" ] && [ "$found" = "$ours" ]; then printf '%s\n' "$line"; fi
    done
    if fault partial; then echo '{"complete":false}'; else echo '{"complete":true}'; fi
    ;;
limits)
    echo '{"servers":10,"notes":["files"]}'
    ;;
*)
    exit 20
    ;;
esac
[ -z "$lost" ] || exit 1
