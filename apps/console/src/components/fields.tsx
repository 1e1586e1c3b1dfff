/** Fields of dialogs: a label, what is typed or chosen, and a word of help that screen readers hear too. */
import {
  FormGroup,
  FormHelperText,
  FormSelect,
  FormSelectOption,
  HelperText,
  HelperTextItem,
  TextArea,
  TextInput,
} from '@patternfly/react-core';
import type { ReactElement, ReactNode } from 'react';

interface FieldProps {
  readonly id: string;
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly isRequired?: boolean;
  readonly help?: ReactNode;
  /** What is wrong with what was typed. */
  readonly fault?: string | undefined;
}

export interface TextFieldProps extends FieldProps {
  readonly placeholder?: string;
  /** Several lines, of code. */
  readonly isCode?: boolean;
  readonly isNumber?: boolean;
  readonly isReadOnly?: boolean;
}

export function TextField(props: TextFieldProps): ReactElement {
  const { id, value, onChange, fault, help, placeholder = '', isCode = false } = props;
  const shared = {
    id,
    value,
    placeholder,
    isRequired: props.isRequired === true,
    validated: fault === undefined ? ('default' as const) : ('error' as const),
    ...(fault === undefined && help === undefined ? {} : { 'aria-describedby': `${id}-help` }),
  };
  return (
    <Field {...props}>
      {isCode ? (
        <TextArea
          {...shared}
          className="console-mono"
          rows={4}
          resizeOrientation="vertical"
          onChange={(_event, text) => onChange(text)}
        />
      ) : (
        <TextInput
          {...shared}
          {...(props.isNumber === true ? { inputMode: 'numeric' as const } : {})}
          {...(props.isReadOnly === true ? { readOnlyVariant: 'default' as const } : {})}
          onChange={(_event, text) => onChange(text)}
        />
      )}
    </Field>
  );
}

export interface Choice {
  readonly value: string;
  readonly label: string;
}

export interface ChoiceFieldProps extends FieldProps {
  readonly choices: readonly Choice[];
  /** What choosing nothing is called. */
  readonly nothing: string;
}

export function ChoiceField(props: ChoiceFieldProps): ReactElement {
  const { id, value, onChange, choices, nothing, help, fault } = props;
  return (
    <Field {...props}>
      <FormSelect
        id={id}
        value={value}
        onChange={(_event, next) => onChange(next)}
        {...(fault === undefined && help === undefined ? {} : { 'aria-describedby': `${id}-help` })}
      >
        <FormSelectOption value="" label={nothing} />
        {choices.map((choice) => (
          <FormSelectOption key={choice.value} {...choice} />
        ))}
      </FormSelect>
    </Field>
  );
}

export interface FileFieldProps extends Omit<FieldProps, 'value' | 'onChange'> {
  /** Endings and media types, as the browser's choice takes them; none: any file. */
  readonly accept?: string;
  readonly onChange: (file: File | undefined) => void;
}

export function FileField(props: FileFieldProps): ReactElement {
  const { id, accept, onChange } = props;
  return (
    <Field {...props}>
      <input
        id={id}
        type="file"
        className="console-file"
        {...(accept === undefined ? {} : { accept })}
        aria-describedby={`${id}-help`}
        onChange={({ currentTarget }) => onChange(currentTarget.files?.[0])}
      />
    </Field>
  );
}

type FrameProps = Pick<FieldProps, 'id' | 'label' | 'isRequired' | 'help' | 'fault'> & {
  readonly children: ReactNode;
};

function Field({ id, label, isRequired = false, help, fault, children }: FrameProps): ReactElement {
  return (
    <FormGroup label={label} isRequired={isRequired} fieldId={id}>
      {children}
      {(help !== undefined || fault !== undefined) && (
        <FormHelperText>
          <HelperText id={`${id}-help`}>
            <HelperTextItem variant={fault === undefined ? 'default' : 'error'}>
              {fault ?? help}
            </HelperTextItem>
          </HelperText>
        </FormHelperText>
      )}
    </FormGroup>
  );
}

/** Names with commas or spaces between them. */
export function toNames(text: string): string[] {
  return text.split(/[\s,]+/).filter((name) => name !== '');
}
