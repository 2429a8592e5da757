# A provider for the exec protocol whose servers are files, each with its line of the listing. It reads
# JSON with sed only: its requests come from the scaler, which writes them without spaces.
IFS= read -r request
for verb; do :; done
field() { printf '%s' "$request" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }
folder=$(field folder)
[ -d "$folder/servers" ] || { echo "the folder $folder is not there" >&2; exit 20; }
fault() { rm "$folder/faults/$1" 2>/dev/null; }
owner_of() { sed -n 's/.*"muster-owner":"\([^"]*\)".*/\1/p' "$1"; }

hang=
if fault hang; then hang=1; fi
: >"$folder/calls/$$"
trap 'rm -f "$folder/calls/$$"' EXIT
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
    name=$(field name)
    file=$folder/servers/$name
    if fault quota; then echo "quota of 10 exceeded" >&2; exit 10; fi
    if fault no-capacity; then echo "no host is free" >&2; exit 11; fi
    if fault echo; then printf '%s\n' "$request" >&2; exit 20; fi
    labels=$(printf '%s' "$request" | sed -n 's/.*"labels":\({[^}]*}\).*/\1/p')
    printf '{"id":"%s","name":"%s","labels":%s,"phase":"active"}\n' "$name" "$name" "$labels" >"$folder/new-$$"
    if ln "$folder/new-$$" "$file" 2>/dev/null; then
        printf '{"id":"%s","already":false}\n' "$name"
    elif [ "$(owner_of "$file")" = "$(owner_of "$folder/new-$$")" ]; then
        printf '{"id":"%s","already":true}\n' "$name"
    else
        echo "$name belongs to somebody else" >&2
        rm "$folder/new-$$"
        exit 20
    fi
    rm "$folder/new-$$"
    ;;
delete)
    file=$folder/servers/$(field id)
    if [ ! -e "$file" ]; then
        echo '{"gone":true}'
    elif [ "$(owner_of "$file")" = "$(field owner)" ]; then
        rm "$file"
        echo '{"gone":true}'
    else
        echo '{"refused":"it belongs to somebody else"}'
    fi
    ;;
describe)
    cat "$folder/servers/$(field id)" 2>/dev/null || echo '{"gone":true}'
    ;;
list)
    owner=$(field owner)
    for file in "$folder"/servers/*; do
        if [ -e "$file" ] && [ "$(owner_of "$file")" = "$owner" ]; then cat "$file"; fi
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
